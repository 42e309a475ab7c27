#include "cogwork/model/outcome.h"

#include "cogwork/model/labor.h"
#include "cogwork/model/wire.h"

namespace cogwork {

Text kept_output(std::string_view output, std::uint8_t& marks) {
  if (output.empty() || why_not_kept(output).empty()) return Text(output);
  marks |= Attempt::REPR;
  return Text(as_bin(output));
}

}  // namespace cogwork
