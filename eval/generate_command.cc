#include "eval/generate_command.h"

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>

#include "encoding/text_tokens.h"
#include "eval/paper_selection.h"
#include "eval/structured_requests.h"

namespace ft::eval {

namespace {

// Rows of a step per request, where no number of them was asked for.
constexpr int32_t kAdaptiveRows = 8;

int64_t whole_pages(int64_t tokens) {
  return (tokens + kPageTokens - 1) / kPageTokens * kPageTokens;
}

Result<void> check_options(const GenerateOptions& options) {
  if (options.max_tokens < 1)
    return fail(ErrorCode::kInvalidArgument, "max tokens is {}, expected at least 1", options.max_tokens);
  if (options.concurrency < 1)
    return fail(ErrorCode::kInvalidArgument, "concurrency is {}, expected at least 1", options.concurrency);
  if (options.prefix_cache_mib < 0 || options.prefix_cache_mib > (int64_t{1} << 30))
    return fail(ErrorCode::kInvalidArgument, "prefix cache is {} MiB, expected 0 to 2^30",
                options.prefix_cache_mib);
  return {};
}

nlohmann::ordered_json completion_line(size_t index, const Completion& completion,
                                       const encoding::Tokenizer* tokenizer) {
  std::vector<int32_t> shown = completion.tokens;
  if (completion.report.finish_reason == scheduler::FinishReason::kStop) shown.pop_back();
  nlohmann::ordered_json line;
  line["index"] = index;
  line["tokens"] = completion.tokens;
  line["text"] = tokenizer == nullptr ? "" : tokenizer->decode(shown).value_or("");
  line["finish_reason"] = scheduler::finish_reason_name(completion.report.finish_reason);
  line["steps"] = completion.report.steps;
  line["drafted"] = completion.report.drafted;
  line["accepted"] = completion.report.accepted;
  line["forced"] = completion.report.forced;
  line["cached"] = completion.report.cached_tokens;
  line["preemptions"] = completion.report.preemptions;
  return line;
}

Result<std::vector<Completion>> run(scheduler::Engine& engine, const GenerateOptions& options,
                                    const std::vector<scheduler::GenerateRequest>& requests,
                                    RunTotals* totals) {
  auto done = run_requests(engine, requests, options.concurrency);
  if (!done) return fail(done.error().code, "{}: {}", options.prompts, done.error().message);
  if (totals != nullptr) *totals = totals_of(*done);
  return std::move(done->completions);
}

}  // namespace

Result<draft::TreeShape> parse_tree_shape(const std::string& name) {
  if (name == "best-first") return draft::TreeShape::kBestFirst;
  if (name == "chain") return draft::TreeShape::kChain;
  return fail(ErrorCode::kInvalidArgument, "tree is \"{}\", expected best-first or chain", name);
}

Result<scheduler::Acceptance> parse_acceptance(const std::string& name) {
  if (name == "coupled") return scheduler::Acceptance::kCoupled;
  if (name == "rejection") return scheduler::Acceptance::kRejection;
  return fail(ErrorCode::kInvalidArgument, "acceptance is \"{}\", expected coupled or rejection", name);
}

Result<scheduler::EngineOptions> engine_options(const GenerateOptions& options, const ModelConfig& config,
                                                const std::vector<std::vector<int32_t>>& prompts) {
  if (auto fine = check_options(options); !fine) return tl::make_unexpected(fine.error());
  const auto kind = draft::parse_drafter(options.drafter);
  if (!kind) return tl::make_unexpected(kind.error());
  const auto shape = parse_tree_shape(options.tree);
  if (!shape) return tl::make_unexpected(shape.error());
  const auto acceptance = parse_acceptance(options.acceptance);
  if (!acceptance) return tl::make_unexpected(acceptance.error());
  const bool rejects = *acceptance == scheduler::Acceptance::kRejection;
  const auto selection =
      parse_selection(rejects && options.selection == "global" ? "stepwise" : options.selection);
  if (!selection) return tl::make_unexpected(selection.error());
  if (!rejects && *selection)
    return fail(ErrorCode::kInvalidArgument, "selection \"{}\" is for acceptance rejection only",
                options.selection);
  size_t longest = 1;
  for (size_t i = 0; i < prompts.size(); ++i) {
    if (static_cast<int64_t>(prompts[i].size()) >= config.max_position_embeddings)
      return fail(ErrorCode::kTooLarge, "{}: prompt {} has {} tokens, the model's context is {}",
                  options.prompts, i, prompts[i].size(), config.max_position_embeddings);
    longest = std::max(longest, prompts[i].size());
  }
  scheduler::EngineOptions engine;
  engine.max_sequences = options.concurrency;
  engine.context = std::clamp<int64_t>(static_cast<int64_t>(longest) + options.max_tokens, 2,
                                       config.max_position_embeddings);
  // Admission keeps a page free for each request that runs.
  engine.cache_tokens = options.kv_cache_tokens != 0
                            ? options.kv_cache_tokens
                            : options.concurrency * (whole_pages(engine.context) + kPageTokens);
  // Where the scheduler decides, requests whose drafts are worth more get the rows of others.
  const int32_t nodes = options.tree_nodes == 0 ? kAdaptiveRows : options.tree_nodes;
  engine.batch_rows = std::max<int32_t>(engine.batch_rows, options.concurrency * nodes);
  engine.queue_max = options.concurrency;
  engine.drafter = *kind;
  engine.tree_nodes = options.tree_nodes;
  engine.tree_shape = *shape;
  engine.acceptance = *acceptance;
  engine.make_selection = *selection;
  engine.prefix_cache_bytes = options.prefix_cache_mib << 20;
  engine.canary_rate = options.canary_rate;
  engine.state_folder = options.state_dir;
  return engine;
}

std::vector<scheduler::GenerateRequest> make_requests(const GenerateOptions& options, int64_t context,
                                                      const std::vector<std::vector<int32_t>>& prompts) {
  std::vector<scheduler::GenerateRequest> requests(prompts.size());
  for (size_t i = 0; i < prompts.size(); ++i) {
    scheduler::GenerateRequest& request = requests[i];
    request.id = fmt::format("prompt {}", i);
    request.prompt = prompts[i];
    request.max_tokens = std::min(options.max_tokens, context - static_cast<int64_t>(prompts[i].size()));
    request.sampling.temperature = options.temperature;
    request.sampling.top_p = options.top_p;
    request.sampling.seed = options.seed + i;
    request.ignore_eos = options.ignore_eos;
  }
  return requests;
}

Result<std::vector<Completion>> generate(scheduler::Engine& engine, const GenerateOptions& options,
                                         const std::vector<std::vector<int32_t>>& prompts,
                                         RunTotals* totals) {
  return run(engine, options, make_requests(options, engine.options().context, prompts), totals);
}

std::string summary_text(const GenerateOptions& options, const GenerateSummary& summary) {
  const RunTotals& total = summary.totals;
  const auto per_step_ms = [&](double seconds) {
    return total.steps == 0 ? 0.0 : 1e3 * seconds / static_cast<double>(total.steps);
  };
  std::string text = fmt::format(
      "{} requests, {} tokens in {:.2f} s ({:.1f} tokens/s); drafter {}, {}\n", total.requests, total.tokens,
      total.seconds, static_cast<double>(total.tokens) / total.seconds, summary.drafter,
      options.tree_nodes == 0 ? "the scheduler decides" : fmt::format("at most {} rows", options.tree_nodes));
  if (!summary.costs_origin.empty()) text += fmt::format("costs: {}\n", summary.costs_origin);
  text += fmt::format(
      "{} steps, {} drafted, {} accepted, mean accepted length {:.3f}; per step draft {:.2f} ms, verify "
      "{:.2f} ms, commit {:.2f} ms\n",
      total.steps, total.drafted, total.accepted, total.mean_accepted_length(),
      per_step_ms(total.draft_seconds), per_step_ms(total.verify_seconds), per_step_ms(total.commit_seconds));
  text += "steps without drafts:";
  for (size_t i = 0; i < scheduler::kFallbacks; ++i)
    text += fmt::format(" {} {}{}", scheduler::fallback_name(static_cast<scheduler::Fallback>(i)),
                        total.fallbacks[i], i + 1 < scheduler::kFallbacks ? "," : "");
  text += fmt::format("; {} prompt tokens cached, {} preemptions\n", total.cached_tokens, total.preemptions);
  if (options.canary_rate > 0.0)
    text += fmt::format("canary: {} rows checked, {} mismatches\n", summary.canary_checks,
                        summary.canary_mismatches);
  return text;
}

Result<void> run_generate(const GenerateOptions& options, GenerateSummary* summary) {
  auto session = open_session(options.session);
  if (!session) return tl::make_unexpected(session.error());
  const auto tokenizer = open_tokenizer(options.session.model);
  // Token prompts work without a tokenizer; their text is then left empty.
  const encoding::Tokenizer* text = tokenizer ? tokenizer->get() : nullptr;
  const auto prompts = read_prompts(options.prompts, session->config(), text);
  if (!prompts) return tl::make_unexpected(prompts.error());
  auto engine_settings = engine_options(options, session->config(), *prompts);
  if (!engine_settings) return tl::make_unexpected(engine_settings.error());
  engine_settings->on_warning = [](const std::string& message) {
    fmt::print(stderr, "foretoken-eval: {}\n", message);
  };
  std::ofstream out(options.out, std::ios::trunc);
  if (!out) return fail(ErrorCode::kNotFound, "{}: cannot be written", options.out);
  auto engine = scheduler::Engine::create(*session->backend, *session->checkpoint, *engine_settings);
  if (!engine) return tl::make_unexpected(engine.error());
  GenerateSummary done;
  auto requests = make_requests(options, (*engine)->options().context, *prompts);
  if (!options.schema.empty()) {
    if (text == nullptr) return tl::make_unexpected(tokenizer.error());
    const ModelConfig& config = session->config();
    const std::vector<int32_t> ends(config.eos_token_ids.begin(), config.eos_token_ids.end());
    const auto vocabulary = std::make_shared<const grammar::Vocabulary>(
        encoding::text_tokens(*text, config.vocab_size), ends,
        [text](std::string_view bytes) { return text->settled(bytes); });
    if (auto bound = bind_to_schema(options.schema, *text, vocabulary, requests); !bound) return bound;
  }
  const auto completions = run(**engine, options, requests, &done.totals);
  if (!completions) return tl::make_unexpected(completions.error());
  for (size_t i = 0; i < completions->size(); ++i)
    out << completion_line(i, (*completions)[i], text).dump() << '\n';
  out.flush();
  if (!out) return fail(ErrorCode::kNotFound, "{}: writing failed", options.out);
  const scheduler::EngineStats stats = (*engine)->stats();
  done.drafter = (*engine)->drafter_name();
  done.costs_origin = (*engine)->costs_origin();
  done.canary_checks = stats.canary_checks;
  done.canary_mismatches = stats.canary_mismatches;
  if (summary != nullptr) *summary = done;
  if (done.canary_mismatches > 0)
    return fail(ErrorCode::kInternal, "the canary found {} rows that differ from their solo computation",
                done.canary_mismatches);
  return {};
}

}  // namespace ft::eval
