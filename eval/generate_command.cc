#include "eval/generate_command.h"

#include <algorithm>
#include <chrono>
#include <deque>
#include <fstream>
#include <nlohmann/json.hpp>
#include <semaphore>

namespace ft::eval {

namespace {

// Reads what a request has produced so far; true when it has ended.
bool drain(scheduler::TokenStream& stream, Completion& completion) {
  const bool finished = stream.finished();  // asked first: tokens pushed before the end are then all visible
  scheduler::TokenEvent event;
  while (stream.pop(event)) completion.tokens.push_back(event.token);
  if (finished) completion.report = stream.report();
  return finished;
}

}  // namespace

Result<draft::TreeShape> parse_tree_shape(const std::string& name) {
  if (name == "best-first") return draft::TreeShape::kBestFirst;
  if (name == "chain") return draft::TreeShape::kChain;
  return fail(ErrorCode::kInvalidArgument, "tree is \"{}\", expected best-first or chain", name);
}

Result<scheduler::EngineOptions> engine_options(const GenerateOptions& options, const ModelConfig& config,
                                                const std::vector<std::vector<int32_t>>& prompts) {
  if (options.max_tokens < 1)
    return fail(ErrorCode::kInvalidArgument, "max tokens is {}, expected at least 1", options.max_tokens);
  if (options.concurrency < 1)
    return fail(ErrorCode::kInvalidArgument, "concurrency is {}, expected at least 1", options.concurrency);
  const auto kind = draft::parse_drafter_kind(options.drafter);
  if (!kind) return tl::make_unexpected(kind.error());
  const auto shape = parse_tree_shape(options.tree);
  if (!shape) return tl::make_unexpected(shape.error());
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
  engine.batch_rows = std::max<int32_t>(engine.batch_rows, options.concurrency * options.tree_nodes);
  engine.queue_max = options.concurrency;
  engine.drafter = *kind;
  engine.tree_nodes = options.tree_nodes;
  engine.tree_shape = *shape;
  return engine;
}

Result<std::vector<Completion>> generate(scheduler::Engine& engine, const GenerateOptions& options,
                                         const std::vector<std::vector<int32_t>>& prompts,
                                         GenerateSummary* summary) {
  struct Running {
    size_t index;
    std::shared_ptr<scheduler::TokenStream> stream;
  };
  const auto started = std::chrono::steady_clock::now();
  std::vector<Completion> completions(prompts.size());
  std::deque<Running> running;
  // Shared with the streams: the engine may still be inside a notification when its stream has been read to
  // the end.
  const auto progress = std::make_shared<std::counting_semaphore<>>(0);
  size_t next = 0;
  while (next < prompts.size() || !running.empty()) {
    while (next < prompts.size() && running.size() < static_cast<size_t>(options.concurrency)) {
      scheduler::GenerateRequest request;
      request.id = fmt::format("prompt-{}", next);
      request.prompt = prompts[next];
      request.max_tokens = std::min(options.max_tokens,
                                    engine.options().context - static_cast<int64_t>(request.prompt.size()));
      request.sampling.temperature = options.temperature;
      request.sampling.top_p = options.top_p;
      request.sampling.seed = options.seed + next;
      request.ignore_eos = options.ignore_eos;
      auto stream = engine.submit(std::move(request), [progress] { progress->release(); });
      if (!stream) {
        for (const Running& started_request : running) started_request.stream->cancel();
        return fail(stream.error().code, "{}: prompt {}: {}", options.prompts, next, stream.error().message);
      }
      running.push_back({next++, std::move(*stream)});
    }
    progress->acquire();
    std::erase_if(running,
                  [&](const Running& request) { return drain(*request.stream, completions[request.index]); });
  }
  GenerateSummary total;
  total.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
  for (size_t i = 0; i < completions.size(); ++i) {
    const scheduler::RequestReport& report = completions[i].report;
    if (report.finish_reason == scheduler::FinishReason::kError)
      return fail(ErrorCode::kInternal, "{}: prompt {}: {}", options.prompts, i, report.error);
    ++total.requests;
    total.tokens += report.completion_tokens;
    total.steps += report.steps;
    total.drafted += report.drafted;
    total.accepted += report.accepted;
    total.draft_seconds += report.draft_ms / 1e3;
    total.verify_seconds += report.verify_ms / 1e3;
    total.commit_seconds += report.commit_ms / 1e3;
  }
  if (summary != nullptr) *summary = total;
  return completions;
}

Result<void> run_generate(const GenerateOptions& options, GenerateSummary* summary) {
  auto session = open_session(options.session);
  if (!session) return tl::make_unexpected(session.error());
  const auto tokenizer = open_tokenizer(options.session.model);
  // Token prompts work without a tokenizer; their text is then left empty.
  const encoding::Tokenizer* text = tokenizer ? tokenizer->get() : nullptr;
  const auto prompts = read_prompts(options.prompts, session->config(), text);
  if (!prompts) return tl::make_unexpected(prompts.error());
  const auto engine_settings = engine_options(options, session->config(), *prompts);
  if (!engine_settings) return tl::make_unexpected(engine_settings.error());
  std::ofstream out(options.out, std::ios::trunc);
  if (!out) return fail(ErrorCode::kNotFound, "{}: cannot be written", options.out);
  auto engine = scheduler::Engine::create(*session->backend, *session->checkpoint, *engine_settings);
  if (!engine) return tl::make_unexpected(engine.error());
  const auto completions = generate(**engine, options, *prompts, summary);
  if (!completions) return tl::make_unexpected(completions.error());
  for (size_t i = 0; i < completions->size(); ++i) {
    const Completion& completion = (*completions)[i];
    std::vector<int32_t> shown = completion.tokens;
    if (completion.report.finish_reason == scheduler::FinishReason::kStop) shown.pop_back();
    nlohmann::ordered_json line;
    line["index"] = i;
    line["tokens"] = completion.tokens;
    line["text"] = text == nullptr ? "" : text->decode(shown).value_or("");
    line["finish_reason"] = scheduler::finish_reason_name(completion.report.finish_reason);
    line["steps"] = completion.report.steps;
    line["drafted"] = completion.report.drafted;
    line["accepted"] = completion.report.accepted;
    out << line.dump() << '\n';
  }
  out.flush();
  if (!out) return fail(ErrorCode::kNotFound, "{}: writing failed", options.out);
  return {};
}

}  // namespace ft::eval
