#include "eval/identity_grid.h"

#include <fmt/format.h>

#include <algorithm>

namespace ft::eval {

namespace {

// Enough to compete for a cache that holds two or three.
constexpr size_t kPreemptRequests = 6;

}  // namespace

std::string IdentityCell::name() const {
  std::string text =
      fmt::format("{} {} {} c{} t{}", drafter, nodes == 0 ? "adaptive" : fmt::format("{}", nodes),
                  chain ? "chain" : "tree", concurrency, threads);
  if (mixed) text += " mixed";
  if (repeats) text += " prefix";
  if (preempts) text += " preempt";
  if (forks) text += " forks";
  if (canary) text += " canary";
  return text;
}

std::vector<verify::SamplingParams> identity_samplings() {
  std::vector<verify::SamplingParams> samplings(4);
  samplings[0].temperature = 0.0;
  samplings[1].temperature = 0.7;
  samplings[2].temperature = 1.0;
  samplings[3].temperature = 1.0;
  samplings[3].top_p = 0.9;
  return samplings;
}

std::vector<IdentityCell> identity_cells(const std::string& model_drafter) {
  std::vector<std::string> drafters = {"ngram"};
  if (!model_drafter.empty()) drafters = {model_drafter, model_drafter + "+ngram", "ngram"};
  std::vector<IdentityCell> cells;
  const auto add_everywhere = [&](IdentityCell cell) {
    for (int32_t concurrency : {1, 8})
      for (int threads : {1, 2}) {
        cell.concurrency = concurrency;
        cell.threads = threads;
        cells.push_back(cell);
      }
  };
  add_everywhere({.drafter = "none", .nodes = 1});
  for (const std::string& drafter : drafters)
    for (int32_t nodes : {1, 4, 16, 0})
      for (bool chain : {false, true})
        if (nodes != 1 || !chain) add_everywhere({.drafter = drafter, .nodes = nodes, .chain = chain});
  const std::string all = model_drafter.empty() ? "ngram" : model_drafter + "+ngram";
  for (int32_t nodes : {0, 6}) {
    cells.push_back({.drafter = all, .nodes = nodes, .mixed = true});
    cells.push_back({.drafter = all, .nodes = nodes, .repeats = true});
    cells.push_back({.drafter = drafters[0], .nodes = nodes, .preempts = true});
    cells.push_back({.drafter = all, .nodes = nodes, .forks = true});
    cells.push_back({.drafter = all, .nodes = nodes, .canary = true});
    cells.push_back({.drafter = all,
                     .nodes = nodes,
                     .mixed = true,
                     .repeats = true,
                     .preempts = true,
                     .forks = true,
                     .canary = true});
  }
  return cells;
}

std::vector<IdentityRequest> identity_requests(const IdentityCell& cell, size_t count, size_t turn,
                                               size_t prompts) {
  const size_t samplings = identity_samplings().size();
  const size_t half = prompts / 2;
  // Longer completions, fewer of them.
  if (cell.preempts) count = std::max(count / 6, kPreemptRequests);
  std::vector<IdentityRequest> requests;
  for (size_t i = 0; requests.size() < std::max(count, samplings); ++i) {
    const size_t place = turn * 7 + i;
    IdentityRequest request;
    // Repeats need whole pages to find again; what is to be preempted begins small, so that many get in.
    const bool long_prompt = cell.repeats || (i % 2 == 1 && !cell.preempts);
    request.prompt = place % half + (long_prompt ? half : 0);
    request.sampling = i % samplings;
    request.longer = cell.preempts;
    const size_t copies = cell.forks ? kIdentityForkSize : 1;
    for (size_t k = 0; k < copies; ++k) {
      request.variant = k;
      requests.push_back(request);
    }
  }
  return requests;
}

int64_t differing_tokens(const std::vector<int32_t>& got, const std::vector<int32_t>& expected) {
  const size_t common = std::min(got.size(), expected.size());
  auto differing = static_cast<int64_t>(std::max(got.size(), expected.size()) - common);
  for (size_t i = 0; i < common; ++i) differing += got[i] != expected[i] ? 1 : 0;
  return differing;
}

std::vector<std::vector<int32_t>> identity_prompts(std::vector<std::vector<int32_t>> prompts,
                                                   size_t tokens_min) {
  const size_t count = prompts.size();
  for (size_t i = 0; i < count; ++i) {
    std::vector<int32_t> longer;
    for (size_t k = i; longer.size() <= tokens_min; ++k)
      longer.insert(longer.end(), prompts[k % count].begin(), prompts[k % count].end());
    prompts.push_back(std::move(longer));
  }
  return prompts;
}

}  // namespace ft::eval
