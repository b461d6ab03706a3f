// The fuzz targets on inputs that are bred from good ones: a short run of what libFuzzer does for hours.
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "tests/fuzz/breeding.h"
#include "tests/fuzz/fuzz_targets.h"
#include "tests/fuzz/json_breeding.h"

namespace ft::fuzz {
namespace {

struct Case {
  const char* name;
  Target target;
  bool json;   // inputs are JSON
  int rounds;  // some seconds
};

std::vector<std::string> seeds_of(const std::string& name) {
  if (name != "tokenizer_json") return corpus(name);
  std::ifstream file(FT_TEST_DATA "/tokenizer/tiny.json", std::ios::binary);
  return {std::string(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>())};
}

const Case kCases[] = {
    {"chat_body", chat_body, true, 100'000},
    {"completions_body", completions_body, true, 100'000},
    {"messages_body", messages_body, true, 100'000},
    {"responses_body", responses_body, true, 100'000},
    {"tool_calls", tool_calls, false, 200'000},
    {"encoder", encoder, true, 40'000},
    {"safetensors_header", safetensors_header, false, 100'000},
    {"tokenizer_json", tokenizer_json, true, 20'000},
};

void run(const Case& fuzzed, int rounds) {
  const std::vector<std::string> seeds = seeds_of(fuzzed.name);
  for (const std::string& seed : seeds)
    fuzzed.target({reinterpret_cast<const uint8_t*>(seed.data()), seed.size()});
  breed(fuzzed.target, seeds, rounds, 0);
  if (fuzzed.json) breed_json(fuzzed.target, seeds, rounds);
}

class Fuzz : public ::testing::TestWithParam<Case> {};
class FullFuzz : public Fuzz {};

TEST_P(Fuzz, KeepsItsPromises) {
  run(GetParam(), GetParam().rounds / 100);
}

TEST_P(FullFuzz, KeepsItsPromises) {
  run(GetParam(), GetParam().rounds);
}

std::string name_of(const ::testing::TestParamInfo<Case>& info) {
  return info.param.name;
}

INSTANTIATE_TEST_SUITE_P(Targets, Fuzz, ::testing::ValuesIn(kCases), name_of);
INSTANTIATE_TEST_SUITE_P(Targets, FullFuzz, ::testing::ValuesIn(kCases), name_of);

}  // namespace
}  // namespace ft::fuzz
