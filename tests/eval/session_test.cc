#include "eval/session.h"

#include <gtest/gtest.h>

#include <fstream>

#include "tests/support/temp_dir.h"

namespace ft::eval {
namespace {

TEST(EvalSession, MessagesNeedAChatTokenizer) {
  const TempDir folder;
  const std::string path = folder.path() + "/prompts.jsonl";
  std::ofstream(path) << R"({"messages":[{"role":"user","content":"hi"}]})"
                      << "\n";
  // Its added tokens are BOS, EOS and the two of reasoning.
  const auto tokenizer = open_tokenizer(std::string(FT_TEST_DATA) + "/tokenizer/tiny.json");
  ASSERT_TRUE(tokenizer) << tokenizer.error().message;
  ModelConfig config;
  config.vocab_size = (*tokenizer)->vocab_size();
  const auto prompts = read_prompts(path, config, tokenizer->get());
  ASSERT_FALSE(prompts);
  EXPECT_NE(prompts.error().message.find("prompts.jsonl:1"), std::string::npos) << prompts.error().message;
  EXPECT_NE(prompts.error().message.find("lacks the control token \"<｜User｜>\""), std::string::npos)
      << prompts.error().message;
  std::ofstream(path) << R"({"prompt":"hi"})"
                      << "\n";
  EXPECT_TRUE(read_prompts(path, config, tokenizer->get()));
}

}  // namespace
}  // namespace ft::eval
