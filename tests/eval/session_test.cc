#include "eval/session.h"

#include <gtest/gtest.h>

#include <fstream>

#include "tests/support/temp_dir.h"

namespace ft::eval {
namespace {

// Built without CUDA, as these tests are.
TEST(EvalSession, LongPromptsGoToCublasLtWhereItCanComputeThem) {
  const auto refusal = [](const SessionOptions& options) {
    const auto backend = open_backend(options);
    return backend ? "none" : backend.error().message;
  };
  SessionOptions options;
  options.cpu.threads = 1;
  options.prefill_gemm = "cublas";
  EXPECT_EQ(refusal(options), "prefill-gemm 'cublas' is unknown: expected invariant or cublaslt");
  options.prefill_gemm = "cublaslt";
  EXPECT_EQ(
      refusal(options).find("--prefill-gemm cublaslt needs the CUDA backend: this is cpu, because cuda is "
                            "unavailable: built without CUDA"),
      0u)
      << refusal(options);
  options.backend = "reference";
  EXPECT_EQ(refusal(options), "--prefill-gemm cublaslt needs the CUDA backend: this is reference");
  options.mode = "exact";
  EXPECT_EQ(refusal(options),
            "--prefill-gemm cublaslt needs --mode official: with exact numerics sums have one order");
  options.prefill_gemm = "invariant";
  EXPECT_EQ(refusal(options), "none");
}

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
