#pragma once

#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace cogwork {

// The errors that cross a public interface, in both languages:
//
//   Error (CogworkError)
//    |- ValidationError    a tree that may not be submitted; one Issue for each fault      (S1, S2)
//    |- SignalNotAllowed   the state of a Labor does not allow a signal                    (G2)
//    |- NotFound           no such id                                                      (T1)
//    |- StoreInUse         another engine owns the store; names it                         (R1)
//    |- StorageError       the store failed; `temporary` tells whether waiting may help    (D6)
//    |- CogError           a Cog could not be found, loaded or used
//    |- ResourceError      no thread, descriptor or memory is to be had; waiting may help
//    |- LaborFailed        raised in Python only, by raise_for_state
//    '- EngineClosed       a call to, or a wait on, an engine that closed
//
// A message says what was wrong, where, and what to do. What is expected - how an attempt ended, whether a signal
// applied - is a value, not an error.

class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// One fault in a submitted tree: where (S1's form, empty for the Labor itself) and what.
struct Issue {
  std::string place;
  std::string message;
  /// How many neighbours have the same fault, this one included; the place is that of the first.
  int count = 1;
};

class ValidationError : public Error {
 public:
  explicit ValidationError(std::vector<Issue> issues);
  const std::vector<Issue>& issues() const { return issues_; }

 private:
  std::vector<Issue> issues_;
};

class SignalNotAllowed : public Error {
 public:
  SignalNotAllowed(const std::string& message, int signal, int state) : Error(message), signal_(signal), state_(state) {}
  int signal() const { return signal_; }
  int state() const { return state_; }

 private:
  int signal_;
  int state_;
};

class NotFound : public Error {
 public:
  using Error::Error;
};

class StoreInUse : public Error {
 public:
  using Error::Error;
};

class StorageError : public Error {
 public:
  StorageError(const std::string& message, bool temporary) : Error(message), temporary_(temporary) {}
  /// Whether trying again may help: a full disk or a lock does pass, a value too large does not.
  bool temporary() const { return temporary_; }

 private:
  bool temporary_;
};

class CogError : public Error {
 public:
  using Error::Error;
};

/// The system gives no thread, no descriptor or no memory now. Nothing else is lost; trying again may help.
class ResourceError : public Error {
 public:
  using Error::Error;
};

class EngineClosed : public Error {
 public:
  using Error::Error;
};

}  // namespace cogwork
