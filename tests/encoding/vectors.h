// Reads the shared vector files for the tests of encoding.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "encoding/chat_template.h"
#include "encoding/ordered_json.h"

namespace ft::encoding {

inline std::string read_text(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  EXPECT_TRUE(file.good()) << path;
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

inline Json read_json(const std::string& path) {
  const EncodingResult<Json> value = Json::parse(read_text(path));
  EXPECT_TRUE(value) << path << ": " << (value ? "" : value.error().message);
  return value.value_or(Json());
}

// The values of a JSON Lines file below tests/data; fails the test if there are not exactly `count`.
inline std::vector<Json> read_cases(const std::string& name, size_t count) {
  std::ifstream file(std::string(FT_TEST_DATA) + "/" + name);
  EXPECT_TRUE(file.good()) << name;
  std::vector<Json> cases;
  for (std::string line; std::getline(file, line);) {
    const EncodingResult<Json> value = Json::parse(line);
    EXPECT_TRUE(value) << name << ": " << line;
    if (value) cases.push_back(*value);
  }
  EXPECT_EQ(cases.size(), count) << name;
  return cases;
}

// The prompt of messages in the reference's form, read and rendered.
inline EncodingResult<Prompt> encode_chat(const Json& messages, const ChatOptions& options) {
  const EncodingResult<std::vector<ChatMessage>> read = read_chat_messages(messages);
  if (!read) return tl::unexpected<EncodingError>(read.error());
  return encode_chat(std::span<const ChatMessage>(*read), options);
}

inline bool is_missing(const std::string& path) {
  return !std::filesystem::exists(path);
}

}  // namespace ft::encoding
