#include "eval/load/chat_prompts.h"

#include <sstream>

#include "core/file.h"

namespace ft::eval {

namespace {

constexpr int64_t kMaxPromptBytes = int64_t{1} << 30;

Result<ChatPrompt> chat_prompt(const Json& line, const std::string& where, ThinkingMode mode) {
  if (!line.is_object()) return fail(ErrorCode::kInvalidFile, "{}: not a JSON object", where);
  ChatPrompt prompt;
  const Json turns = line.value("turns", Json());
  if (line.contains("messages") && line["messages"].is_array()) {
    prompt.messages = line["messages"];
  } else if (turns.is_array() && !turns.empty() && turns[0].is_string()) {
    prompt.messages.push_back({{"role", "user"}, {"content", turns[0]}});
  } else {
    return fail(ErrorCode::kInvalidFile, "{}: has neither messages nor turns, which a server needs", where);
  }
  // DeepSeek's format has tools inside a message.
  for (Json& message : prompt.messages) {
    if (!message.is_object() || !message.contains("tools")) continue;
    prompt.tools = message["tools"];
    message.erase("tools");
  }
  const Json thinking = line.value("thinking", Json(false));
  if (!thinking.is_boolean()) return fail(ErrorCode::kInvalidFile, "{}: thinking is not a boolean", where);
  prompt.thinking = mode == ThinkingMode::kAsIs ? thinking.get<bool>() : mode == ThinkingMode::kOn;
  for (const char* name : {"category", "domain"})
    if (line.contains(name) && line[name].is_string()) prompt.domain = line[name];
  return prompt;
}

}  // namespace

Result<std::vector<ChatPrompt>> read_chat_prompts(const std::string& path, ThinkingMode mode) {
  auto text = read_file(path, kMaxPromptBytes);
  if (!text) return tl::make_unexpected(text.error());
  std::istringstream file(std::move(*text));
  std::vector<ChatPrompt> prompts;
  std::string line;
  for (int64_t number = 1; std::getline(file, line); ++number) {
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    auto prompt = chat_prompt(Json::parse(line, nullptr, false), fmt::format("{}:{}", path, number), mode);
    if (!prompt) return tl::make_unexpected(prompt.error());
    prompts.push_back(std::move(*prompt));
  }
  if (prompts.empty()) return fail(ErrorCode::kInvalidFile, "{}: has no prompts", path);
  return prompts;
}

std::string chat_body(const ChatPrompt& prompt, const ChatWish& wish) {
  Json body;
  body["model"] = wish.model;
  body["messages"] = prompt.messages;
  body["max_tokens"] = wish.max_tokens;
  body["temperature"] = wish.temperature;
  body["seed"] = wish.seed;
  // Ours and vLLM's servers take it; V4's chat format has the same name for it.
  body["chat_template_kwargs"] = {{"thinking", prompt.thinking}};
  if (!prompt.tools.is_null()) body["tools"] = prompt.tools;
  if (wish.stream) {
    body["stream"] = true;
    body["stream_options"] = {{"include_usage", true}};
  }
  if (wish.ignore_eos) body["ignore_eos"] = true;
  if (wish.acceptance_in_reply) body["include_speculation"] = true;
  if (wish.sglang_details) body["return_spec_tokens_details"] = true;
  if (!wish.speculation.is_null()) body["speculation"] = wish.speculation;
  return body.dump();
}

}  // namespace ft::eval
