#include "server/api/openai_fields.h"

#include <initializer_list>
#include <vector>

#include "server/api/request_params.h"

namespace ft::server {
namespace {

using enum FieldEffect;

// Of every endpoint that samples: OpenAI's, and those of vLLM, SGLang and llama.cpp that people send.
constexpr RequestField kShared[] = {
    {"model", kActs, "any name is answered; the served ones are in /v1/models"},
    {"max_tokens", kActs, ""},
    {"max_completion_tokens", kActs, "goes before max_tokens"},
    {"n", kActs, "choice i samples with seed + i"},
    {"stream", kActs, ""},
    {"stream_options", kActs, "include_usage"},
    {"stop", kActs, ""},
    {"include_speculation", kActs,
     "true adds metrics.speculative_decoding; \"steps\" adds how each token came, too"},
    {"response_format", kActs, "text, json_object, json_schema: docs/structured_output.md"},
    {"structured_outputs", kActs, "json, regex, choice or json_object"},
    {"guided_json", kActs, "a schema or its text"},
    {"guided_regex", kActs, "matches the whole answer"},
    {"guided_choice", kActs, ""},
    {"json_schema", kActs, "as guided_json"},
    {"regex", kActs, "as guided_regex"},
    {"prediction", kActs, "drafted where the answer follows it: never the text, only the time"},
    {"user", kNone, ""},
    {"metadata", kNone, ""},
    {"store", kNone, ""},
    {"service_tier", kNone, ""},
    {"safety_identifier", kNone, ""},
    {"prompt_cache_key", kNone, "prefixes are shared by all"},
    {"prompt_cache_retention", kNone, ""},
    {"cache_salt", kNone, ""},
    {"request_id", kNone, "send the header x-request-id"},
    {"spaces_between_special_tokens", kNone, ""},
    {"include_stop_str_in_output", kRefused, ""},
    {"min_tokens", kRefused, ""},
    {"prompt_logprobs", kRefused, "use /v1/completions with echo and logprobs"},
    {"truncate_prompt_tokens", kRefused, ""},
    {"allowed_token_ids", kRefused, ""},
    {"bad_words", kRefused, "use logit_bias"},
    {"logits_processors", kRefused, ""},
    {"use_beam_search", kRefused, ""},
    {"length_penalty", kRefused, ""},
    {"guided_grammar", kRefused, "the output would not be constrained"},
    {"grammar", kRefused, "the output would not be constrained"},
    {"ebnf", kRefused, "the output would not be constrained"},
    {"repeat_penalty", kRefused, "use repetition_penalty"},
    {"typical_p", kRefused, ""},
    {"mirostat", kRefused, ""},
    {"dynatemp_range", kRefused, ""},
    {"dry_multiplier", kRefused, ""},
    {"xtc_probability", kRefused, ""},
    {"lora_path", kRefused, ""},
};

constexpr RequestField kChat[] = {
    {"messages", kActs, "below"},
    {"tools", kActs, "parameters are enforced where a call is required or the function is strict"},
    {"tool_choice", kActs, "none, auto, required, a function, allowed_tools"},
    {"parallel_tool_calls", kActs, ""},
    {"continue_final_message", kActs, "true: the last message, an assistant's, is continued"},
    {"add_generation_prompt", kActs, "false only with continue_final_message"},
    {"thinking", kActs, "type enabled, adaptive (the same) or disabled"},
    {"enable_thinking", kActs, ""},
    {"chat_template_kwargs", kActs,
     "thinking, enable_thinking, thinking_mode, reasoning_effort, drop_thinking"},
    {"reasoning_effort", kActs, "none, minimal, low, medium, high, xhigh, max, ultra"},
    {"reasoning", kActs, "enabled, effort"},
    {"logprobs", kActs, ""},
    {"top_logprobs", kActs, ""},
    {"modalities", kActs, "only text"},
    {"verbosity", kNone, ""},
    {"functions", kRefused, "it is OpenAI's older form of 'tools'"},
    {"function_call", kRefused, "it is OpenAI's older form of 'tool_choice'"},
    {"thinking_token_budget", kRefused, "use reasoning_effort"},
    {"thinking_budget", kRefused, "use reasoning_effort"},
    {"chat_template", kRefused, "the format is the model's"},
    {"documents", kRefused, ""},
    {"audio", kRefused, ""},
    {"web_search_options", kRefused, "this server does not search"},
    {"echo", kRefused, ""},
};

constexpr RequestField kCompletions[] = {
    {"prompt", kActs, "text, texts, token ids or lists of them"},
    {"echo", kActs, "with logprobs also those of the prompt; max_tokens 0 is then no completion"},
    {"add_special_tokens", kActs, "BOS before a text"},
    {"skip_special_tokens", kActs, ""},
    {"logprobs", kActs, ""},
    {"best_of", kActs, "only as many as n"},
    {"suffix", kActs, "the prompt and it are written as fill-in-the-middle"},
    {"parse_special", kActs, "true: control tokens that a text prompt spells out are such, BOS included"},
};

std::vector<RequestField> joined(std::span<const RequestField> own) {
  std::vector<RequestField> all(own.begin(), own.end());
  all.insert(all.end(), std::begin(kShared), std::end(kShared));
  return with_sampling_fields(all);
}

}  // namespace

std::span<const RequestField> openai_chat_fields() {
  static const std::vector<RequestField> fields = joined(kChat);
  return fields;
}

std::span<const RequestField> openai_completions_fields() {
  static const std::vector<RequestField> fields = joined(kCompletions);
  return fields;
}

}  // namespace ft::server
