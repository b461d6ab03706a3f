// Inputs bred from good ones: what a fuzzer does, without looking at coverage, so that it runs everywhere.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace ft::fuzz {

using Target = void (*)(std::span<const uint8_t>);

// Calls `target` with `rounds` inputs, the same ones every time: seeds with a few edits and, where `tail` > 0, a zero
// byte and so many random bytes behind them.
void breed(Target target, const std::vector<std::string>& seeds, int rounds, int tail);

// The files of tests/fuzz/corpus/`name`.
std::vector<std::string> corpus(const std::string& name);

}  // namespace ft::fuzz
