// The cells of the identity grid: every way to run a request that must not change a byte of what it says.
// Pure.
#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <vector>

#include "verify/sampling_params.h"

namespace ft::eval {

// One cell: the settings of an engine, and what its requests exercise.
struct IdentityCell {
  std::string drafter = "auto";
  int32_t nodes = 0;  // rows per request and step, anchor included; 0 = adaptive
  bool chain = false;
  int32_t concurrency = 8;
  int threads = 2;
  bool mixed = false;     // requests differ in drafter, nodes, shape, priority, and whether they speculate
  bool repeats = false;   // prompts of more than a page, all of them twice: the second time from the cache
  bool preempts = false;  // long completions in a cache too small for all of them
  bool forks = false;     // groups of requests with one prompt
  bool canary = false;    // committed rows are computed again

  std::string name() const;
};

// Requests with one prompt, in cells of forks.
inline constexpr size_t kIdentityForkSize = 4;

// What a request of the grid asks for. Equal ones have the same completion.
struct IdentityRequest {
  size_t prompt = 0;     // of the pool
  size_t sampling = 0;   // of identity_samplings()
  uint64_t variant = 0;  // which of several seeds
  bool longer = false;   // a completion of several pages, past the end token

  auto operator<=>(const IdentityRequest&) const = default;
  uint64_t seed() const { return 1 + sampling + 16 * (variant + 64 * static_cast<uint64_t>(prompt)); }
};

// Temperature 0, 0.7, 1, and 1 with top-p 0.9.
std::vector<verify::SamplingParams> identity_samplings();

// The grid: each drafter with 1, 4, 16 rows and adaptive, best first and chain, alone and eight at a time, on
// one and two threads; then the cells of mixed requests, prefix hits, preemption, forks, the canary, and all
// of them together. `model_drafter` is the name of the drafter that the
// checkpoint carries, "" for none.
std::vector<IdentityCell> identity_cells(const std::string& model_drafter);

// The requests of a cell, about `count` (fewer where completions are longer), at least one per sampling.
// `turn` counts cells and passes, so that cells take different prompts of a pool of `prompts`, whose first
// half are short and the others longer than a page.
std::vector<IdentityRequest> identity_requests(const IdentityCell& cell, size_t count, size_t turn,
                                               size_t prompts);

// Tokens that differ, position by position; missing and additional ones count.
int64_t differing_tokens(const std::vector<int32_t>& got, const std::vector<int32_t>& expected);

// Twice as many prompts as given: these, then ones of more than `tokens_min` tokens, dialogues one after
// another.
std::vector<std::vector<int32_t>> identity_prompts(std::vector<std::vector<int32_t>> prompts,
                                                   size_t tokens_min);

}  // namespace ft::eval
