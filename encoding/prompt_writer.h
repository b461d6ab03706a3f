// Collects prompt text and remembers which bytes came from the client.
#pragma once

#include <string>
#include <string_view>
#include <utility>

#include "encoding/chat_template.h"

namespace ft::encoding {

class PromptWriter {
 public:
  // Text of the format itself.
  void format(std::string_view text) { prompt_.text += text; }
  // Text that the client gave.
  void client(std::string_view text) {
    if (text.empty()) return;
    const size_t begin = prompt_.text.size();
    prompt_.text += text;
    if (!prompt_.client.empty() && prompt_.client.back().end == begin) {
      prompt_.client.back().end = prompt_.text.size();
    } else {
      prompt_.client.push_back({begin, prompt_.text.size()});
    }
  }
  size_t size() const { return prompt_.text.size(); }
  Prompt take() { return std::move(prompt_); }

 private:
  Prompt prompt_;
};

}  // namespace ft::encoding
