// A vocabulary that is small and nasty: an end token, every byte, and pieces that run over the ends of strings, members
// and characters.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "verify/grammar/vocabulary.h"

namespace ft::grammar {

inline constexpr int32_t kEndToken = 0;

inline std::shared_ptr<const Vocabulary> small_vocabulary() {
  static const std::shared_ptr<const Vocabulary> vocabulary = [] {
    std::vector<std::string> tokens = {"", ""};  // the end, and a control token that no text holds
    for (int byte = 0; byte < 256; ++byte) tokens.emplace_back(1, static_cast<char>(byte));
    for (const char* piece : {"{\"",
                              "\":",
                              " \"",
                              "\",",
                              "\", ",
                              "\", \"",
                              "\": \"",
                              "\"}",
                              "\"]",
                              "\"}}",
                              "}}",
                              "]}",
                              "],",
                              "[[",
                              "{}",
                              "[]",
                              "[1",
                              "1,",
                              "12",
                              "00",
                              "-1",
                              "1.5",
                              "e+1",
                              "0.25",
                              "2024",
                              "-0",
                              "true",
                              "false",
                              "null",
                              "nul",
                              "ab",
                              "abc",
                              "aa",
                              "a\"",
                              "name",
                              "na",
                              "me\":",
                              "x-",
                              "_",
                              "a b",
                              " ",
                              "  ",
                              "\\n",
                              "\\\"",
                              "\\\\",
                              "\\u00",
                              "\\u001f",
                              "\\",
                              "u0",
                              "\xC3\xA9",
                              "\xC3",
                              "\xA9",
                              "\xE4\xB8\xAD",
                              "\xE4\xB8",
                              "\xE4\xB8\xAD\xE6\x96\x87",
                              "\xF0\x9F\x98\x80",
                              "\xF0\x9F",
                              "\xE2\x80\xA8",
                              "\xC2\xA0",
                              "\xED\xA0\x80",
                              "\xFF",
                              "a\xC3",
                              "\xA9\"",
                              "abcdefghij",
                              "ABC-123",
                              "foo@bar.de",
                              "2024-02-29T",
                              "http://",
                              "0123456789abcdef"})
      tokens.emplace_back(piece);
    const std::vector<std::string_view> views(tokens.begin(), tokens.end());
    return std::make_shared<const Vocabulary>(views, std::vector<int32_t>{kEndToken});
  }();
  return vocabulary;
}

}  // namespace ft::grammar
