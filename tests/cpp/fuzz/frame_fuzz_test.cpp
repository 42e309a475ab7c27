// The fuzzer of frames and messages as an ordinary test: what was found once stays found, and a little noise on top.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "cogwork/base/random.h"
#include "fuzz/frame_input.h"

namespace cogwork {
namespace {

std::vector<std::string> corpus() {
  std::vector<std::filesystem::path> paths;
  for (const auto& entry : std::filesystem::directory_iterator(COGWORK_FUZZ_CORPUS)) paths.push_back(entry.path());
  std::sort(paths.begin(), paths.end());
  std::vector<std::string> inputs;
  for (const auto& path : paths) {
    std::ifstream file(path, std::ios::binary);
    inputs.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
  }
  return inputs;
}

void mutate(std::string& input, const std::vector<std::string>& others, Random& random) {
  const auto at = [&] { return random.below(input.size() + 1); };
  switch (random.below(6)) {
    case 0:
      if (!input.empty()) input[random.below(input.size())] = static_cast<char>(random.below(256));
      break;
    case 1:
      if (!input.empty()) {
        auto& byte = input[random.below(input.size())];
        byte = static_cast<char>(byte ^ 1 << random.below(8));
      }
      break;
    case 2: input.insert(at(), 1, static_cast<char>(random.below(256))); break;
    case 3: input.erase(at(), 1 + random.below(8)); break;
    case 4: {
      const auto& other = others[random.below(others.size())];
      input.insert(at(), other.substr(random.below(other.size() + 1), 1 + random.below(40)));
      break;
    }
    default: input.resize(at()); break;
  }
}

TEST(FrameFuzz, TheCorpusAndMutationsOfItAreReadToTheirEnd) {
  const auto inputs = corpus();
  ASSERT_GE(inputs.size(), 10u);
  for (const auto& input : inputs) fuzz::read_input(input);
  Random seeds = Random::from_system();
  const auto seed = seeds.next();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::fprintf(stderr, "seed %llu\n", static_cast<unsigned long long>(seed));  // it stands there also when read_input aborts
  Random random(seed);
  for (int i = 0; i < 50'000; ++i) {
    auto input = inputs[random.below(inputs.size())];
    for (auto n = 1 + random.below(4); n > 0; --n) mutate(input, inputs, random);
    fuzz::read_input(input);
  }
}

TEST(FrameFuzz, MutatedBodiesInSoundFrames) {
  // Most mutations of a stream hit a length; here the frame is sound and what is in it is not.
  const auto inputs = corpus();
  const auto seed = Random::from_system().next();
  std::fprintf(stderr, "seed %llu\n", static_cast<unsigned long long>(seed));
  Random random(seed);
  for (int i = 0; i < 50'000; ++i) {
    const auto& input = inputs[random.below(inputs.size())];
    auto body = input.substr(std::min<std::size_t>(5, input.size()));
    for (auto n = 1 + random.below(4); n > 0; --n) mutate(body, inputs, random);
    fuzz::read_body(body);
  }
}

}  // namespace
}  // namespace cogwork
