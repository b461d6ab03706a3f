#include "eval/bench_prediction.h"

#include <random>

#include "eval/draft_arms.h"
#include "eval/draft_bench.h"

namespace ft::eval {

std::vector<int32_t> alter(const std::vector<int32_t>& tokens, double right, int32_t vocab, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::uniform_real_distribution<double> chance(0.0, 1.0);
  std::uniform_int_distribution<int32_t> any(0, vocab - 1);
  std::vector<int32_t> altered;
  for (const int32_t token : tokens) {
    if (chance(random) < right) {
      altered.push_back(token);
      continue;
    }
    const double kind = chance(random) * 3.0;
    if (kind < 2.0) altered.push_back(any(random));
    if (kind < 1.0) altered.push_back(token);
  }
  return altered;
}

Result<void> run_bench_prediction(const BenchPredictionOptions& options, std::FILE* out) {
  if (!(options.right >= 0.0 && options.right <= 1.0))
    return fail(ErrorCode::kInvalidArgument, "right is {}, expected 0 to 1", options.right);
  auto bench = open_draft_bench(options.drafts);
  if (!bench) return tl::make_unexpected(bench.error());
  auto engine = (*bench)->engine();
  if (!engine) return tl::make_unexpected(engine.error());
  const auto requests = make_requests((*bench)->generate, (*engine)->options().context, (*bench)->prompts);
  const auto replies = run_requests(**engine, requests, options.drafts.concurrency);
  if (!replies) return tl::make_unexpected(replies.error());
  std::vector<DraftArm> arms = {
      {"no drafts", engine->get(), requests},
      {std::string((*engine)->drafter_name()), engine->get(), requests},
      {fmt::format("{} with predictions", (*engine)->drafter_name()), engine->get(), requests}};
  for (scheduler::GenerateRequest& request : arms[0].requests) request.speculation.enabled = false;
  const auto vocab = static_cast<int32_t>((*bench)->session.config().vocab_size);
  for (size_t i = 0; i < requests.size(); ++i)
    arms[2].requests[i].prediction.emplace(
        alter(replies->completions[i].tokens, options.right, vocab, options.drafts.seed + i));
  Report report;
  if (auto compared = compare_arms(arms, options.drafts.concurrency, options.drafts.rounds, report);
      !compared)
    return compared;
  return report.write(out, options.drafts.json);
}

}  // namespace ft::eval
