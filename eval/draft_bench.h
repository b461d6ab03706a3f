// What the benchmarks of sources of drafts have in common: a checkpoint, its prompts, and engines on it.
#pragma once

#include <memory>
#include <vector>

#include "eval/bench_structured.h"
#include "eval/generate_command.h"

namespace ft::eval {

struct DraftBench {
  Session session;
  std::unique_ptr<encoding::Tokenizer> tokenizer;
  GenerateOptions generate;
  std::vector<std::vector<int32_t>> prompts;

  // An engine for them.
  Result<std::unique_ptr<scheduler::Engine>> engine(const scheduler::EngineParts& parts = {}) const;
};

Result<std::unique_ptr<DraftBench>> open_draft_bench(const BenchDraftsOptions& options);

}  // namespace ft::eval
