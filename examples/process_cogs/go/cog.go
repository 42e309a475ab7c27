package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

// The program's side of the Cog protocol (docs/internals/cog-protocol.md), for programs with one Cog or more.

const largestFrame = 64 << 20

// A cog is what it is called, what the hello says of it, and what it does.
type cog struct {
	about    object // its map in the hello
	validate func(args object) error
	execute  func(*call) result
}

// A result is one of three words, an output, and what went wrong.
type result struct {
	status string
	output any
	err    string
}

func success(output any) result  { return result{"SUCCESS", output, ""} }
func failure(err error) result   { return result{"FAILURE", nil, err.Error()} }
func noRetries(err error) result { return result{"FAILURE_NO_RETRIES", nil, err.Error()} }

// A call is one attempt. Its context ends when it is cancelled.
type call struct {
	context.Context
	args   object
	target string
	id     int64
	server *server
}

func (c *call) progress(done float64, message string) {
	c.server.send(object{"id": c.id, "progress": done, "message": message})
}

func (c *call) log(format string, values ...any) {
	c.server.send(object{"id": c.id, "log": fmt.Sprintf(format, values...)})
}

type server struct {
	cogs    map[string]cog
	sending sync.Mutex
	out     io.Writer

	mutex  sync.Mutex
	calls  map[int64]context.CancelFunc
	ending bool
	busy   sync.WaitGroup
}

// serve talks to the engine until it is gone or says shutdown, and returns the exit status.
func serve(version string, cogs ...cog) int {
	socket, err := engineSocket()
	if err != nil {
		fmt.Fprintf(os.Stderr, "This program holds Cogs for cogwork, and does nothing by itself: an engine starts it (%v).\n\n", err)
		for _, held := range cogs {
			fmt.Fprintf(os.Stderr, "  %v  %v\n", held.about["name"], held.about["desc"])
		}
		return 2
	}
	s := &server{cogs: map[string]cog{}, out: socket, calls: map[int64]context.CancelFunc{}}
	hello := object{"op": "hello", "protocol": 1, "version": version}
	var about []any
	for _, held := range cogs {
		s.cogs[held.about["name"].(string)] = held
		about = append(about, held.about)
	}
	hello["cogs"] = about
	s.send(hello)

	terminated := make(chan os.Signal, 1)
	signal.Notify(terminated, syscall.SIGTERM)
	ended := make(chan struct{})
	var once sync.Once
	finish := func() {
		once.Do(func() {
			s.mutex.Lock()
			s.ending = true // from here on nothing is begun, so that the wait ends
			s.mutex.Unlock()
			go func() { s.busy.Wait(); close(ended) }()
		})
	}
	go func() {
		<-terminated
		s.cancelAll()
		finish()
	}()
	go s.read(bufio.NewReader(socket), finish)
	<-ended
	return 0
}

// engineSocket is the socket pair's end that the engine has put where COGWORK_COG_FD says.
func engineSocket() (net.Conn, error) {
	number, err := strconv.Atoi(os.Getenv("COGWORK_COG_FD"))
	if err != nil {
		return nil, fmt.Errorf("COGWORK_COG_FD names no descriptor")
	}
	os.Unsetenv("COGWORK_COG_FD")
	file := os.NewFile(uintptr(number), "engine")
	if file == nil {
		return nil, fmt.Errorf("COGWORK_COG_FD names no descriptor")
	}
	defer file.Close()
	return net.FileConn(file) // a copy, which children do not get
}

// read ends the process when the engine is gone, or says what cannot be read.
func (s *server) read(from io.Reader, finish func()) {
	for {
		var head [4]byte
		if _, err := io.ReadFull(from, head[:]); err != nil {
			os.Exit(0)
		}
		length := binary.BigEndian.Uint32(head[:])
		if length == 0 || length > largestFrame {
			broken(fmt.Errorf("a frame of %d bytes", length))
		}
		body, err := io.ReadAll(io.LimitReader(from, int64(length))) // takes memory as bytes come
		if err != nil || len(body) < int(length) {
			os.Exit(0)
		}
		value, err := decode(body)
		if err != nil {
			broken(err)
		}
		message, ok := value.(object)
		if !ok {
			broken(fmt.Errorf("a frame that holds no map"))
		}
		if message["op"] == "shutdown" {
			finish()
		} else {
			s.handle(message)
		}
	}
}

func broken(err error) {
	fmt.Fprintln(os.Stderr, "what the engine sent cannot be read:", err)
	os.Exit(1)
}

func (s *server) handle(message object) {
	op, _ := message["op"].(string)
	if op == "cancel" {
		of, _ := message["of"].(int64)
		s.mutex.Lock()
		if cancel := s.calls[of]; cancel != nil {
			cancel()
		}
		s.mutex.Unlock()
		return
	}
	id, ok := message["id"].(int64)
	if !ok {
		if op == "" {
			broken(fmt.Errorf("a message without op and id"))
		}
		return // of an engine that is newer
	}
	name, _ := message["cog"].(string)
	held, known := s.cogs[name]
	args, isMap := message["args"].(object)
	switch {
	case op == "execute":
		s.execute(id, message, name)
	case op != "describe" && op != "validate":
		s.send(object{"id": id, "error": fmt.Sprintf("this program does not know the op %q", op)})
	case !known:
		s.send(object{"id": id, "error": s.unknown(name)})
	case op == "describe":
		s.send(object{"id": id, "ok": held.about})
	case !isMap:
		s.send(object{"id": id, "error": "the args are no map of names"})
	default:
		if err := held.validate(args); err != nil {
			s.send(object{"id": id, "error": err.Error()})
		} else {
			s.send(object{"id": id, "ok": nil})
		}
	}
}

func (s *server) execute(id int64, message object, name string) {
	held, known := s.cogs[name]
	args, isMap := message["args"].(object)
	ctx, cancel := context.WithCancel(context.Background())
	c := &call{Context: ctx, args: args, id: id, server: s}
	c.target, _ = message["target"].(string)
	s.mutex.Lock()
	ending := s.ending
	if !ending {
		s.calls[id] = cancel
		s.busy.Add(1)
	}
	s.mutex.Unlock()
	switch {
	case ending:
		cancel()
		s.answer(id, failure(fmt.Errorf("the program is ending")))
		return
	case !known:
		held.execute = func(*call) result { return noRetries(fmt.Errorf("%s", s.unknown(name))) }
	case !isMap:
		held.execute = func(*call) result { return noRetries(fmt.Errorf("the args are no map of names")) }
	}
	go func() {
		defer s.busy.Done()
		defer cancel()
		s.answer(id, run(held, c))
	}()
}

// run makes a failure of a panic, so that the other attempts of the process go on.
func run(held cog, c *call) (answer result) {
	defer func() {
		if reason := recover(); reason != nil {
			answer = failure(fmt.Errorf("panic: %v", reason))
		}
	}()
	return held.execute(c)
}

func (s *server) answer(id int64, r result) {
	s.mutex.Lock()
	delete(s.calls, id)
	s.mutex.Unlock()
	fields := object{"status": r.status, "output": r.output, "error": r.err}
	if err := s.trySend(object{"id": id, "result": fields}); err != nil {
		fields["output"] = fmt.Sprintf("(the output cannot be sent: %v)", err)
		s.send(object{"id": id, "result": fields})
	}
}

func (s *server) cancelAll() {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	for _, cancel := range s.calls {
		cancel()
	}
}

func (s *server) unknown(name string) string {
	var names []string
	for held := range s.cogs {
		names = append(names, held)
	}
	return fmt.Sprintf("there is no Cog %q in this program, which holds %s", name, strings.Join(names, ", "))
}

func (s *server) send(message object) {
	if err := s.trySend(message); err != nil {
		panic(err)
	}
}

// trySend fails where the message fits in no frame. Where the engine is gone, the process ends.
func (s *server) trySend(message object) error {
	frame, err := encode(make([]byte, 4), message)
	if err != nil {
		return err
	}
	if len(frame)-4 > largestFrame {
		return fmt.Errorf("it has %d bytes", len(frame)-4)
	}
	binary.BigEndian.PutUint32(frame, uint32(len(frame)-4))
	s.sending.Lock()
	defer s.sending.Unlock()
	if _, err := s.out.Write(frame); err != nil {
		os.Exit(0)
	}
	return nil
}
