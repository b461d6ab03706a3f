#include "server/api/prompt.h"

#include <algorithm>
#include <string>
#include <string_view>

#include "encoding/chat_template.h"
#include "encoding/prompt_writer.h"
#include "server/generation/engine_error.h"

namespace ft::server {
namespace {

// low, high or max in the words of the profile. Preview checkpoints know high (which adds nothing) and max.
std::optional<std::string> effort_level(const encoding::Profile& profile,
                                        const std::optional<std::string>& effort) {
  if (!effort) return std::nullopt;
  for (const encoding::EffortText& known : profile.efforts) {
    if (known.level == *effort) return effort;
  }
  return std::nullopt;  // low, where it is not a level: the text is the same as without
}

// A reasoning to be continued must not be closed: the encoder always closes it at the very end.
void reopen_reasoning(encoding::Prompt& prompt) {
  if (!std::string_view(prompt.text).ends_with(encoding::kThinkCloseToken)) return;
  prompt.text.resize(prompt.text.size() - encoding::kThinkCloseToken.size());
}

ApiError overflow(const ServedModel& model, int64_t prompt_tokens, ApiError error) {
  error.code = "context_length_exceeded";
  error.prompt_tokens = prompt_tokens;
  error.prompt_tokens_max = model.context - 1;  // a reply has one token at least
  return error;
}

// Agents know a full context by these words, which are OpenAI's, and shorten what they send.
ApiError prompt_too_long(const ServedModel& model, int64_t tokens, bool exact, std::string field) {
  const bool chat = field != "prompt";
  ApiError error =
      bad_field(std::move(field), fmt::format("This model's maximum context length is {} tokens. However, "
                                              "your {} resulted in {} tokens. Please reduce "
                                              "the length of the {}.",
                                              model.context, chat ? "messages" : "prompt",
                                              fmt::format("{}{}", exact ? "" : "at least ", tokens),
                                              chat ? "messages" : "prompt"));
  return overflow(model, tokens, std::move(error));
}

// The text around which a completion is written, and which of it is the client's.
ApiResult<encoding::Prompt> fill_in_the_middle(const ServedModel& model, const std::string& before,
                                               const std::string& after) {
  for (const std::string_view token :
       {encoding::kFimBeginToken, encoding::kFimHoleToken, encoding::kFimEndToken})
    if (!model.tokenizer->id_of(token))
      return refuse(bad_field(
          "suffix", fmt::format("'suffix' needs the token {}, which this model does not have", token)));
  encoding::PromptWriter out;
  out.format(encoding::kFimBeginToken);
  out.client(before);
  out.format(encoding::kFimHoleToken);
  out.client(after);
  out.format(encoding::kFimEndToken);
  return out.take();
}

}  // namespace

ApiError prompt_too_long(const ServedModel& model, size_t tokens_at_least, std::string field) {
  return prompt_too_long(model, static_cast<int64_t>(tokens_at_least), false, std::move(field));
}

ApiResult<std::vector<int32_t>> tokenize_prompt(const ServedModel& model, std::string_view text,
                                                std::span<const encoding::ByteRange> client,
                                                std::string field) {
  constexpr size_t kSlice = size_t{1} << 16;
  const auto job = model.tokenizer->start_encode(text, client, static_cast<size_t>(model.context));
  while (!job->advance(kSlice)) {
  }
  if (job->exceeded()) return refuse(prompt_too_long(model, job->tokens_at_least(), std::move(field)));
  return job->take_ids();
}

ApiResult<std::vector<int32_t>> chat_prompt(const ServedModel& model, const ChatRequest& request) {
  encoding::ChatOptions options;
  options.thinking = request.thinking;
  options.drop_thinking = request.drop_thinking;
  options.reasoning_effort = effort_level(*model.profile, request.effort);
  options.profile = model.profile;
  // One token more, since what reopen_reasoning() takes away is one.
  options.max_bytes = static_cast<size_t>(model.context + 1) * model.tokenizer->longest_token();
  auto prompt = encoding::encode_chat(request.messages, options);
  if (!prompt && prompt.error().kind == encoding::ErrorKind::kTooLong) {
    return refuse(prompt_too_long(model, static_cast<size_t>(model.context) + 1, request.field));
  }
  if (!prompt) return refuse(from_encoding(prompt.error(), request.field));
  if (request.prefill == Prefill::kReasoning && request.thinking) reopen_reasoning(*prompt);
  return tokenize_prompt(model, prompt->text, prompt->client, request.field);
}

ApiResult<std::vector<int32_t>> completion_prompt(const ServedModel& model, const CompletionRequest& request,
                                                  const CompletionPrompt& prompt) {
  const bool fills = request.suffix && !request.suffix->empty();
  const auto* given = std::get_if<std::vector<int32_t>>(&prompt);
  if (given != nullptr && fills)
    return refuse(bad_field("suffix", "'suffix' needs a prompt of text, not of token ids"));
  if (given != nullptr) return *given;
  encoding::Prompt written;
  if (fills) {
    auto filled = fill_in_the_middle(model, std::get<std::string>(prompt), *request.suffix);
    if (!filled) return refuse(filled.error());
    written = std::move(*filled);
  } else {
    encoding::PromptWriter out;
    out.client(std::get<std::string>(prompt));
    written = out.take();
  }
  if (request.parse_special) written.client.clear();
  auto ids = tokenize_prompt(model, written.text, written.client, "prompt");
  const bool begun = ids && request.parse_special && !ids->empty() && ids->front() == model.bos;
  if (ids && request.add_special_tokens && !begun) ids->insert(ids->begin(), model.bos);
  return ids;
}

ApiResult<int64_t> completion_limit(const ServedModel& model, const RequestParams& params,
                                    int64_t prompt_tokens, std::string field) {
  const int64_t left = model.context - prompt_tokens;
  if (left < 1) return refuse(prompt_too_long(model, prompt_tokens, true, std::move(field)));
  return std::min(left, params.max_tokens.value_or(model.default_max_tokens));
}

}  // namespace ft::server
