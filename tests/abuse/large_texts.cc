#include "tests/abuse/large_texts.h"

#include <algorithm>

namespace ft::abuse {
namespace {

constexpr std::string_view kChat = "/v1/chat/completions";
constexpr std::string_view kCompletions = "/v1/completions";

LargeText chat_of(std::string_view name, std::string unit) {
  return {name, kChat, R"({"max_tokens":1,"messages":[{"role":"user","content":")", std::move(unit), "\"}]}"};
}

// A field that no one asks for.
LargeText beside(std::string_view name, std::string unit, std::string last) {
  return {name, kChat, R"({"max_tokens":1,"messages":[{"role":"user","content":"hi"}],"unknown":[)",
          std::move(unit), std::move(last) + "]}"};
}

}  // namespace

std::string LargeText::body(size_t bytes) const {
  std::string text = begin;
  text.reserve(bytes);
  const size_t mark = unit.find('#');
  const size_t room = bytes > end.size() + 24 ? bytes - end.size() - 24 : 0;
  for (size_t i = 0; text.size() + unit.size() < room; ++i) {
    if (mark == std::string::npos) {
      text += unit;
    } else {
      text.append(unit, 0, mark).append(std::to_string(i)).append(unit, mark + 1);
    }
  }
  // Lists have no comma at their end.
  if (!unit.empty() && unit.back() == ',') text.pop_back();
  return text + end;
}

const std::vector<LargeText>& large_texts() {
  static const std::vector<LargeText> all = {
      chat_of("digits", "1234567890"),
      chat_of("letters", "qwjxzkvbpy"),
      chat_of("words", "the capital of Lithuania is Vilnius and "),
      chat_of("spaces", "          "),
      chat_of("line breaks", R"(\n\n\n\n)"),
      chat_of("emoji", "\xf0\x9f\xa6\x8a\xf0\x9f\x8f\xb3"),
      chat_of("Chinese", "\xe4\xbd\xa0\xe5\xa5\xbd\xe4\xb8\x96\xe7\x95\x8c"),
      chat_of("combining marks", "e\xcc\x81\xcc\x82"),
      chat_of("escapes", R"(\u0041\u00e9)"),
      chat_of("control tokens", "<\xef\xbd\x9c"),
      chat_of("punctuation", "!?.,;:-_"),
      {"messages", kChat, R"({"max_tokens":1,"messages":[)", R"({"role":"user","content":"hi"},)", "]}"},
      {"one tool with many properties", kChat,
       R"({"max_tokens":1,"messages":[{"role":"user","content":"hi"}],"tools":[{"type":"function","function":)"
       R"({"name":"f","parameters":{"type":"object","properties":{)",
       R"("p#":{"type":"string"},)", "}}}}]}"},
      {"arguments with many keys", kChat,
       R"({"max_tokens":1,"messages":[{"role":"user","content":"hi"},{"role":"assistant","tool_calls":[{"id":)"
       R"("a","type":"function","function":{"name":"f","arguments":"{)",
       R"(\"k#\":1,)", R"(}"}}]},{"role":"tool","tool_call_id":"a","content":"x"}]})"},
      beside("numbers", "0,", ""),
      beside("empty lists", "[],", ""),
      beside("empty objects", "{},", ""),
      beside("empty strings", "\"\",", ""),
      {"stop strings", kChat, R"({"max_tokens":1,"messages":[{"role":"user","content":"hi"}],"stop":[)",
       "\"s#\",", "]}"},
      {"logit_bias", kChat, R"({"max_tokens":1,"messages":[{"role":"user","content":"hi"}],"logit_bias":{)",
       "\"#\":1,", "}}"},
      {"one number", kChat, R"({"messages":[{"role":"user","content":"hi"}],"max_tokens":1)", "0123456789",
       "}"},
      {"model name", kChat, R"({"max_tokens":1,"messages":[{"role":"user","content":"hi"}],"model":")",
       "abcdefghij", "\"}"},
      {"deep lists", kChat, R"({"messages":)", "[[[[[[[[", "}"},
      {"token ids", kCompletions, R"({"max_tokens":1,"prompt":[)", "100,", "]}"},
      {"prompts", kCompletions, R"({"max_tokens":1,"prompt":[)", "\"hi\",", "]}"},
      {"completion of letters", kCompletions, R"({"max_tokens":1,"prompt":")", "qwjxzkvbpy", "\"}"},
      {"/tokenize of letters", "/tokenize", R"({"prompt":")", "qwjxzkvbpy", "\"}"},
      {"/tokenize of digits", "/tokenize", R"({"prompt":")", "1234567890", "\"}"},
      {"/detokenize", "/detokenize", R"({"tokens":[)", "100,", "]}"},
  };
  return all;
}

}  // namespace ft::abuse
