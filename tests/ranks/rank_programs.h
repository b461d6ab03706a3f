// The programs as ranks, for tests: how to start them, ask them, and look at their ends.
#pragma once

#include <gtest/gtest.h>
#include <signal.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/server/raw_client.h"
#include "tests/support/program.h"
#include "tests/support/rank_threads.h"

namespace ft::ranks {

using ft::testing::port_of;
using ft::testing::Program;
using server::testing::RawClient;
using Words = std::vector<std::string>;

inline const std::string kNano = FT_MODELS "/v4-nano-dspark";
inline constexpr const char* kStream =
    R"({"messages":[{"role":"user","content":"Tell me a long story."}],"stream":true,"max_tokens":3000,)"
    R"("temperature":1,"seed":5,"ignore_eos":true})";
inline constexpr const char* kReply =
    R"({"messages":[{"role":"user","content":"What is 12 plus 30?"}],"max_tokens":60,"temperature":1,"seed":7})";

inline Words server_words(const std::string& model, const Words& more) {
  Words words = {"--model",     model, "--port",          "0", "--backend",      "cpu", "--threads", "1",
                 "--state-dir", "",    "--max-sequences", "2", "--rank-timeout", "2"};
  words.insert(words.end(), more.begin(), more.end());
  return words;
}

inline bool has(const std::string& text, const std::string& piece) {
  return text.find(piece) != std::string::npos;
}

inline size_t count_of(const std::string& text, const std::string& piece) {
  size_t count = 0;
  for (size_t at = text.find(piece); at != std::string::npos; at = text.find(piece, at + 1)) ++count;
  return count;
}

inline std::string reply_of(Program& server) {
  RawClient client(port_of(server));
  EXPECT_TRUE(client.post("/v1/chat/completions", kReply));
  const auto response = client.read_response(60000);
  EXPECT_EQ(response.status, 200) << response.body;
  return nlohmann::json::parse(response.body)["choices"].dump();
}

// Begins a long reply; the test then breaks a rank, and the client has to be told.
inline void expect_clean_error(Program& server, const std::function<void()>& break_rank) {
  RawClient client(port_of(server));
  ASSERT_TRUE(client.post("/v1/chat/completions", kStream));
  ASSERT_TRUE(client.read_until("\ndata: ", 30000));
  break_rank();
  EXPECT_TRUE(client.read_until("\"error\"", 10000)) << client.buffered().substr(0, 2000);
}

inline void expect_end(Program& program, int code) {
  EXPECT_EQ(program.wait(10), std::optional<int>(code)) << program.errors();
}

// Folders in which the relative path "model" is something else for each rank.
struct TwoFolders {
  TwoFolders() {
    for (const char* name : {"a", "b"}) std::filesystem::create_directories(directory.file(name));
    for (const char* name : {"a/model", "b/model"}) std::filesystem::copy(kNano, directory.file(name));
  }
  Words folders() const { return {directory.file("a"), directory.file("b")}; }
  // Calls `change` with the path of each file that has weights, in the folder of the second rank.
  void change_second(const std::function<void(const std::string&)>& change) const {
    for (const auto& entry : std::filesystem::directory_iterator(directory.file("b/model")))
      if (entry.path().extension() == ".safetensors") change(entry.path().string());
  }
  // Other values of many tensors; the header is in the first half.
  void change_second_weights() const {
    change_second([](const std::string& path) {
      std::string bytes = file_bytes(path);
      for (size_t i = bytes.size() / 2; i < bytes.size(); ++i) bytes[i] = static_cast<char>(bytes[i] ^ 1);
      std::ofstream(path, std::ios::binary) << bytes;
    });
  }
  void cut_second_weights() const {
    change_second([](const std::string& path) { std::filesystem::resize_file(path, 1000); });
  }
  TempDir directory;
};

}  // namespace ft::ranks
