#include "server/api/job_parts.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "encoding/chat_profile.h"
#include "server/api/prompt.h"
#include "server/generation/random_id.h"
#include "verify/grammar/grammar_constraint.h"

namespace ft::server {

GenerationJob job_of(const ApiCall& call, const RequestParams& params, std::string_view id_prefix,
                     int top_logprobs) {
  GenerationJob job;
  job.id = std::string(id_prefix) + random_hex(32);
  job.request.id = job.id;
  job.request.sampling = params.sampling;
  job.request.sampling.seed = params.seed ? *params.seed : random_bits();
  job.request.sampling.logprobs = top_logprobs;
  job.request.stop_tokens = params.stop_token_ids;
  job.request.ignore_eos = params.ignore_eos;
  job.request.speculation = params.speculation;
  job.request.priority = params.priority;
  job.choices = params.choices;
  job.choice.tokenizer = call.model.tokenizer.get();
  job.choice.eos = call.model.eos;
  job.choice.stop_tokens = params.stop_token_ids;
  job.choice.stop = params.stop;
  job.stream = params.stream;
  job.request.step_details = params.include_steps;
  job.shows_tokens = top_logprobs >= 0 || params.include_steps;
  return job;
}

namespace {

void bind(const ApiCall& call, std::shared_ptr<const grammar::Grammar> grammar,
          const std::shared_ptr<const grammar::Vocabulary>& vocabulary, bool reasoning,
          std::vector<int32_t> never_in_reasoning, GenerationJob& job) {
  Constraint constraint = grammar::grammar_constraint(std::move(grammar), vocabulary);
  if (job.request.ignore_eos) constraint = grammar::repeated(std::move(constraint), vocabulary);
  if (const auto end = call.model.tokenizer->id_of(encoding::kThinkCloseToken); reasoning && end)
    constraint =
        grammar::behind_token(*end, std::move(constraint), vocabulary, std::move(never_in_reasoning));
  job.request.constraint = std::make_shared<Constraint>(std::move(constraint));
}

}  // namespace

void bind_format(const ApiCall& call, const OutputFormat& format, bool reasoning, GenerationJob& job) {
  if (format.grammar != nullptr) bind(call, format.grammar, call.model.vocabulary, reasoning, {}, job);
}

void bind_calls(const ApiCall& call, std::shared_ptr<const grammar::Grammar> calls, bool reasoning,
                GenerationJob& job) {
  std::vector<int32_t> markup;
  if (const auto mark = call.model.tokenizer->id_of(encoding::kDsmlToken)) markup.push_back(*mark);
  bind(call, std::move(calls), call.model.call_vocabulary, reasoning, std::move(markup), job);
}

ApiResult<void> predict(const ApiCall& call, const RequestParams& params, bool reasoning,
                        GenerationJob& job) {
  if (!params.prediction) return {};
  const encoding::ByteRange whole{0, params.prediction->size()};
  auto tokens = tokenize_prompt(call.model, *params.prediction, {&whole, 1}, "prediction");
  if (!tokens) return refuse(tokens.error());
  const auto end = call.model.tokenizer->id_of(encoding::kThinkCloseToken);
  job.request.prediction.emplace(std::move(*tokens), reasoning && end ? *end : -1);
  job.choice.prediction = job.request.prediction;
  return {};
}

namespace {

// A model that begins the next turn has ended its own.
void end_at_next_turn(const ApiCall& call, const RequestParams& params, GenerationJob& job) {
  for (const std::string_view turn : {encoding::kUserToken, encoding::kAssistantToken}) {
    const auto token = call.model.tokenizer->id_of(turn);
    if (!token) continue;
    job.choice.eos.push_back(*token);
    if (!params.ignore_eos) job.request.stop_tokens.push_back(*token);
  }
}

}  // namespace

ApiResult<GenerationJob> chat_job(const ApiCall& call, const ChatRequest& request,
                                  std::string_view id_prefix) {
  const RequestParams& params = request.params;
  if (auto fits = check_choices(static_cast<size_t>(params.choices), call.defaults, "n"); !fits)
    return refuse(fits.error());
  auto prompt = chat_prompt(call.model, request);
  if (!prompt) return refuse(prompt.error());
  const auto tokens = static_cast<int64_t>(prompt->size());
  const auto limit = completion_limit(call.model, params, tokens, request.field);
  if (!limit) return refuse(limit.error());
  GenerationJob job = job_of(call, params, id_prefix, request.logprobs ? request.top_logprobs : -1);
  job.prompts.push_back({std::move(*prompt), *limit});
  job.choice.parser.thinking = begins_with_reasoning(request);
  job.choice.parser.tools_offered = request.tools_offered;
  job.choice.parser.eos_in_text = false;
  job.choice.single_call = !request.parallel_tool_calls;
  end_at_next_turn(call, params, job);
  const bool reasoning = job.choice.parser.thinking;
  if (request.calls != nullptr)
    bind_calls(call, request.calls, reasoning, job);
  else
    bind_format(call, params.format, reasoning, job);
  if (auto predicted = predict(call, params, reasoning, job); !predicted) return refuse(predicted.error());
  return job;
}

ReplyHead head_of(const ApiCall& call, const RequestParams& params, const GenerationJob& job) {
  const auto& names = call.model.names;
  const bool served = std::find(names.begin(), names.end(), params.model) != names.end();
  ReplyHead head;
  head.id = job.id;
  head.created =
      std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch())
          .count();
  head.model = served ? params.model : names.front();
  return head;
}

ReplyExtras extras_of(const ApiCall& call, const RequestParams& params) {
  ReplyExtras extras;
  extras.usage = params.include_usage;
  const std::string_view wanted = call.request.header("x-include-speculation");
  extras.speculation = params.include_speculation || wanted == "true" || wanted == "1";
  if (params.speculation.enabled && !call.model.drafters.empty())
    extras.draft_rows = params.speculation.max_nodes.value_or(call.model.tree_nodes_limit()) - 1;
  return extras;
}

}  // namespace ft::server
