#include "eval/draft_bench.h"

#include <algorithm>

namespace ft::eval {

Result<std::unique_ptr<DraftBench>> open_draft_bench(const BenchDraftsOptions& options) {
  auto bench = std::make_unique<DraftBench>();
  auto session = open_session(options.session);
  if (!session) return tl::make_unexpected(session.error());
  bench->session = std::move(*session);
  auto tokenizer = open_tokenizer(options.session.model);
  if (!tokenizer) return tl::make_unexpected(tokenizer.error());
  bench->tokenizer = std::move(*tokenizer);
  auto prompts = read_prompts(options.prompts, bench->session.config(), bench->tokenizer.get());
  if (!prompts) return tl::make_unexpected(prompts.error());
  bench->prompts = std::move(*prompts);
  if (options.rounds < 1 || options.requests < 1 || bench->prompts.empty())
    return fail(ErrorCode::kInvalidArgument, "nothing to measure");
  bench->prompts.resize(std::min<size_t>(bench->prompts.size(), static_cast<size_t>(options.requests)));
  GenerateOptions& generate = bench->generate;
  generate.session = options.session;
  generate.prompts = options.prompts;
  generate.drafter = options.drafter;
  generate.tree_nodes = options.tree_nodes;
  generate.concurrency = options.concurrency;
  generate.max_tokens = options.max_tokens;
  generate.temperature = options.temperature;
  generate.seed = options.seed;
  generate.ignore_eos = options.ignore_eos;
  generate.prefix_cache_mib = 0;  // every round reads the same prompts
  return bench;
}

Result<std::unique_ptr<scheduler::Engine>> DraftBench::engine(const scheduler::EngineParts& parts) const {
  const auto settings = engine_options(generate, session.config(), prompts);
  if (!settings) return tl::make_unexpected(settings.error());
  return scheduler::Engine::create(*session.backend, *session.checkpoint, *settings, parts);
}

}  // namespace ft::eval
