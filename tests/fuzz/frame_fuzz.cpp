// libFuzzer's way into frame_input.h: scripts/fuzz builds and runs it.
#include <cstddef>
#include <cstdint>

#include "fuzz/frame_input.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  cogwork::fuzz::read_input({reinterpret_cast<const char*>(data), size});
  return 0;
}
