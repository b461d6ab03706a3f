#include "server/api/openai_completions.h"

#include <optional>
#include <utility>

#include "server/api/job_parts.h"
#include "server/api/openai_completions_writer.h"
#include "server/api/prompt.h"

namespace ft::server {
namespace {

using encoding::Json;

ApiResult<std::vector<int32_t>> read_ids(const Json::Array& values, const std::string& path,
                                         int64_t vocab_size) {
  std::vector<int32_t> ids;
  ids.reserve(values.size());
  for (size_t i = 0; i < values.size(); ++i) {
    const std::optional<int64_t> id = values[i].to_int64();
    if (!id || *id < 0 || *id >= vocab_size) {
      const std::string place = fmt::format("{}[{}]", path, i);
      return refuse(bad_field(place, values[i].is_integer()
                                         ? fmt::format("'{}' must be a token id below {}, not {}", place,
                                                       vocab_size, values[i].integer_text().substr(0, 40))
                                         : type_message(place, "a token id", values[i])));
    }
    ids.push_back(static_cast<int32_t>(*id));
  }
  return ids;
}

ApiResult<std::vector<CompletionPrompt>> read_prompts(const Json& prompt, int64_t vocab_size) {
  constexpr std::string_view kExpected =
      "a string, an array of strings, of token ids or of arrays of token ids";
  std::vector<CompletionPrompt> prompts;
  if (prompt.is_string()) {
    prompts.emplace_back(prompt.as_string());
    return prompts;
  }
  if (!prompt.is_array()) return refuse(bad_field("prompt", type_message("prompt", kExpected, prompt)));
  const Json::Array& list = prompt.as_array();
  if (list.empty()) return refuse(bad_field("prompt", "'prompt' is empty"));
  if (list[0].is_number()) {
    auto ids = read_ids(list, "prompt", vocab_size);
    if (!ids) return refuse(ids.error());
    prompts.emplace_back(std::move(*ids));
    return prompts;
  }
  if (list.size() > kPromptsMax) {
    return refuse(
        bad_field("prompt", fmt::format("'prompt' has {} prompts, more than {}", list.size(), kPromptsMax)));
  }
  for (size_t i = 0; i < list.size(); ++i) {
    const std::string path = fmt::format("prompt[{}]", i);
    if (list[i].type() != list[0].type() || !(list[i].is_string() || list[i].is_array())) {
      return refuse(bad_field(path, type_message(path,
                                                 list[0].is_array()    ? "an array of token ids"
                                                 : list[0].is_string() ? "a string"
                                                                       : "a string or an array of token ids",
                                                 list[i])));
    }
    if (list[i].is_string()) {
      prompts.emplace_back(list[i].as_string());
      continue;
    }
    auto ids = read_ids(list[i].as_array(), path, vocab_size);
    if (!ids) return refuse(ids.error());
    if (ids->empty()) return refuse(bad_field(path, fmt::format("'{}' is empty", path)));
    prompts.emplace_back(std::move(*ids));
  }
  return prompts;
}

}  // namespace

ApiResult<CompletionRequest> parse_completion_request(const Json& body, const RequestDefaults& defaults) {
  if (auto known = check_fields(body, openai_completions_fields()); !known) return refuse(known.error());
  FieldReader fields(body);
  CompletionRequest request;
  request.params = read_request_params(fields, defaults);
  request.echo = fields.boolean("echo").value_or(false);
  request.echo_only = request.echo && fields.integer("max_tokens", -1, INT64_MAX) == 0;
  request.add_special_tokens = fields.boolean("add_special_tokens").value_or(true);
  request.parse_special = fields.boolean("parse_special").value_or(false);
  request.suffix = fields.text("suffix");
  request.skip_special_tokens = fields.boolean("skip_special_tokens").value_or(true);
  if (const auto top = fields.integer("logprobs", 0, kTopLogprobsMax)) {
    request.logprobs = true;
    request.top_logprobs = static_cast<int>(*top);
  }
  if (const auto best_of = fields.integer("best_of", 1, kChoicesMax);
      best_of && *best_of != request.params.choices) {
    fields.refuse("best_of", "'best_of' other than 'n' is not supported");
  }
  const Json* prompt = fields.any("prompt");
  if (prompt == nullptr && fields.ok()) fields.refuse("prompt", "'prompt' is missing");
  if (!fields.ok()) return refuse(*fields.error());
  auto prompts = read_prompts(*prompt, defaults.vocab_size);
  if (!prompts) return refuse(prompts.error());
  request.prompts = std::move(*prompts);
  return request;
}

ApiResult<GenerationJob> openai_completions_job(const ApiCall& call) {
  auto parsed = parse_completion_request(call.body, call.defaults);
  if (!parsed) return refuse(parsed.error());
  const RequestParams& params = parsed->params;
  if (auto fits = check_choices(parsed->prompts.size() * static_cast<size_t>(params.choices), call.defaults,
                                "prompt");
      !fits)
    return refuse(fits.error());

  GenerationJob job = job_of(call, params, "cmpl-", parsed->logprobs ? parsed->top_logprobs : -1);
  bind_format(call, params.format, false, job);
  if (auto predicted = predict(call, params, false, job); !predicted) return refuse(predicted.error());
  job.choice.chat = false;
  job.choice.skip_special = parsed->skip_special_tokens;
  if (parsed->echo && parsed->logprobs) job.request.prompt_logprobs = parsed->top_logprobs;
  job.choice.silent = parsed->echo_only;
  std::vector<CompletionEcho> echoes;
  for (const CompletionPrompt& given : parsed->prompts) {
    JobPrompt prompt;
    auto tokens = completion_prompt(call.model, *parsed, given);
    if (!tokens) return refuse(tokens.error());
    prompt.tokens = std::move(*tokens);
    if (prompt.tokens.empty())
      return refuse(bad_field("prompt", "'prompt' has no token: expected one at least"));
    const auto limit =
        completion_limit(call.model, params, static_cast<int64_t>(prompt.tokens.size()), "prompt");
    if (!limit) return refuse(limit.error());
    prompt.max_tokens = parsed->echo_only ? 1 : *limit;
    CompletionEcho echo;
    if (parsed->echo) {
      const auto* text = std::get_if<std::string>(&given);
      echo.first_token = prompt.tokens.front();
      echo.text = text != nullptr
                      ? *text
                      : call.model.tokenizer->decode(prompt.tokens, parsed->skip_special_tokens).value_or("");
    }
    echoes.insert(echoes.end(), static_cast<size_t>(params.choices), echo);
    job.prompts.push_back(std::move(prompt));
  }
  job.writer = openai_completions_writer(head_of(call, params, job), extras_of(call, params),
                                         *call.model.tokenizer, parsed->logprobs, std::move(echoes));
  return job;
}

}  // namespace ft::server
