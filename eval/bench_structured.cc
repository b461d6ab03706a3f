#include "eval/bench_structured.h"

#include "draft/drafter_wrapper.h"
#include "encoding/text_tokens.h"
#include "eval/draft_arms.h"
#include "eval/draft_bench.h"
#include "eval/structured_requests.h"

namespace ft::eval {
namespace {

// A drafter that is not told of constraints.
class Unbound final : public draft::DrafterWrapper {
 public:
  using DrafterWrapper::DrafterWrapper;

  void propose(std::span<const draft::ProposeRequest> requests, std::span<draft::DraftTree> trees) override {
    requests_.assign(requests.begin(), requests.end());
    for (draft::ProposeRequest& request : requests_) request.constraint = nullptr;
    DrafterWrapper::propose(requests_, trees);
  }

 private:
  std::vector<draft::ProposeRequest> requests_;
};

}  // namespace

Result<void> run_bench_structured(const BenchStructuredOptions& options, std::FILE* out) {
  auto bench = open_draft_bench(options.drafts);
  if (!bench) return tl::make_unexpected(bench.error());
  scheduler::EngineParts parts;
  parts.wrap_drafter = [](std::unique_ptr<draft::Drafter> inner) {
    return std::make_unique<Unbound>(std::move(inner));
  };
  auto unbound = (*bench)->engine(parts);
  if (!unbound) return tl::make_unexpected(unbound.error());
  auto bound = (*bench)->engine();
  if (!bound) return tl::make_unexpected(bound.error());
  auto requests = make_requests((*bench)->generate, (*bound)->options().context, (*bench)->prompts);
  const ModelConfig& config = (*bench)->session.config();
  const encoding::Tokenizer& text = *(*bench)->tokenizer;
  const auto vocabulary = std::make_shared<const grammar::Vocabulary>(
      encoding::text_tokens(text, config.vocab_size),
      std::vector<int32_t>(config.eos_token_ids.begin(), config.eos_token_ids.end()),
      [&text](std::string_view bytes) { return text.settled(bytes); });
  if (auto fine = bind_to_schema(options.schema, text, vocabulary, requests); !fine) return fine;
  std::vector<DraftArm> arms = {
      {"no drafts", bound->get(), requests},
      {std::string((*bound)->drafter_name()), unbound->get(), requests},
      {"prompt lookup with the grammar", bound->get(), requests},
      {fmt::format("{} with the grammar", (*bound)->drafter_name()), bound->get(), requests}};
  for (scheduler::GenerateRequest& request : arms[0].requests) request.speculation.enabled = false;
  for (scheduler::GenerateRequest& request : arms[2].requests)
    request.speculation.drafter = *draft::parse_drafter("ngram");
  Report report;
  if (auto compared = compare_arms(arms, options.drafts.concurrency, options.drafts.rounds, report);
      !compared)
    return compared;
  return report.write(out, options.drafts.json);
}

}  // namespace ft::eval
