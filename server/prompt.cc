#include "server/prompt.h"

#include <algorithm>
#include <string>
#include <string_view>

#include "encoding/chat_template.h"

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

}  // namespace

ApiResult<std::vector<int32_t>> chat_prompt(const ServedModel& model, const ChatRequest& request) {
  encoding::ChatOptions options;
  options.thinking_mode = request.thinking ? "thinking" : "chat";
  options.reasoning_effort = effort_level(*model.profile, request.effort);
  options.profile = model.profile;
  auto prompt = encoding::encode_chat(request.messages, options);
  if (!prompt) return refuse(from_encoding(prompt.error(), "messages"));
  if (request.prefill == Prefill::kReasoning && request.thinking) reopen_reasoning(*prompt);
  return model.tokenizer->encode(prompt->text, prompt->client);
}

std::vector<int32_t> completion_prompt(const ServedModel& model, const CompletionRequest& request,
                                       const CompletionPrompt& prompt) {
  if (const auto* ids = std::get_if<std::vector<int32_t>>(&prompt)) return *ids;
  const std::string& text = std::get<std::string>(prompt);
  std::vector<encoding::ByteRange> client;
  if (!text.empty()) client.push_back({0, text.size()});
  std::vector<int32_t> ids = model.tokenizer->encode(text, client);
  if (request.add_special_tokens) ids.insert(ids.begin(), model.bos);
  return ids;
}

ApiResult<int64_t> completion_limit(const ServedModel& model, const RequestParams& params,
                                    int64_t prompt_tokens, std::string field) {
  const int64_t left = model.context - prompt_tokens;
  if (left < 1) {
    ApiError error =
        bad_field(std::move(field), fmt::format("the prompt has {} tokens, but the context of this model is "
                                                "{} tokens, completion included",
                                                prompt_tokens, model.context));
    error.code = "context_length_exceeded";
    return refuse(error);
  }
  return std::min(left, params.max_tokens.value_or(model.default_max_tokens));
}

}  // namespace ft::server
