// --check, and starts that cannot succeed: what the program says, and its exit code.
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <nlohmann/json.hpp>

#include "tests/support/program.h"

namespace ft::server {
namespace {

using ft::testing::Program;
using nlohmann::json;

const std::string kNano = FT_MODELS "/v4-nano-dspark";

struct Ended {
  std::optional<int> code;
  std::string output;
  std::string errors;
};

Ended check(const std::string& model, std::vector<std::string> more = {}) {
  std::vector<std::string> arguments = {"--check",     "--model", model,       "--threads", "1",
                                        "--state-dir", "",        "--backend", "cpu"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  Program program(FT_SERVER_PROGRAM, arguments);
  Ended ended;
  ended.code = program.wait();
  ended.output = program.output();
  ended.errors = program.errors();
  return ended;
}

// A checkpoint of the nano model's sizes in that form, with its tokenizer.
std::string make_form(const TempDir& directory, const std::string& form) {
  const std::string folder = directory.file(form);
  Program make(FT_EVAL_PROGRAM,
               {"make-random", "--config", kNano + "/config.json", "--form", form, "--out", folder});
  EXPECT_EQ(make.wait(), 0) << make.errors();
  for (const char* name : {"tokenizer.model", "tokenizer_config.json"})
    std::filesystem::copy_file(kNano + "/" + name, folder + "/" + name);
  return folder;
}

TEST(Check, PrintsWhatWasFound) {
  const Ended ended = check(kNano, {"--drafter", "none"});
  ASSERT_EQ(ended.code, 0) << ended.errors;
  const json found = json::parse(ended.output);
  EXPECT_EQ(found["release"], "DeepSeek-V4-DSpark, 5 layers 256 wide");
  EXPECT_EQ(found["warnings"], json::array());
  EXPECT_GT(found["context"], 0);
  int64_t bytes = 0;
  std::set<std::string> parts;
  for (const json& part : found["weights"]) {
    bytes += part["bytes"].get<int64_t>();
    parts.insert(part["part"]);
    EXPECT_FALSE(part["formats"].empty());
  }
  EXPECT_TRUE(parts.contains("routed experts") && parts.contains("draft: routed experts"));
  const auto file_bytes = static_cast<int64_t>(std::filesystem::file_size(kNano + "/model.safetensors"));
  EXPECT_NEAR(static_cast<double>(bytes), static_cast<double>(file_bytes), 200e3);  // less the header
  for (const json& part : found["memory"]) EXPECT_GT(part["bytes"], 0) << part;
}

TEST(Check, SaysWhyCublasLtCannotComputePrompts) {
  const Ended on_cpu = check(kNano, {"--prefill-gemm", "cublaslt"});
  EXPECT_EQ(on_cpu.code, 2);
  EXPECT_NE(on_cpu.errors.find("--prefill-gemm cublaslt needs the CUDA backend: this is cpu"),
            std::string::npos)
      << on_cpu.errors;
  const Ended exact = check(kNano, {"--prefill-gemm", "cublaslt", "--mode", "exact"});
  EXPECT_EQ(exact.code, 2);
  EXPECT_NE(exact.errors.find("--prefill-gemm cublaslt needs --mode official"), std::string::npos)
      << exact.errors;
}

TEST(Check, SaysWhatWasLeftOut) {
  const TempDir directory;
  const std::string base = make_form(directory, "bf16-draft");
  const Ended ended = check(base);
  ASSERT_EQ(ended.code, 0) << ended.errors;
  const json found = json::parse(ended.output);
  EXPECT_EQ(found["drafter"], "ngram");
  for (const json& part : found["memory"]) EXPECT_NE(part["part"], "draft's cache");
  ASSERT_EQ(found["warnings"].size(), 1u);
  EXPECT_NE(found["warnings"][0].get<std::string>().find("the draft is left out"), std::string::npos);
  EXPECT_NE(ended.errors.find("the draft is left out"), std::string::npos);
  // Asked for by name, it is an error.
  const Ended asked = check(base, {"--drafter", "dspark"});
  EXPECT_EQ(asked.code, 2);
  EXPECT_NE(asked.errors.find("drafter dspark: the checkpoint has no DSpark draft"), std::string::npos)
      << asked.errors;
  EXPECT_NE(asked.errors.find("has dtype BF16"), std::string::npos) << asked.errors;
}

TEST(Check, ServesTheBaseForm) {
  const TempDir directory;
  const Ended ended = check(make_form(directory, "base"), {"--drafter", "none"});
  ASSERT_EQ(ended.code, 0) << ended.errors;
  const json found = json::parse(ended.output);
  EXPECT_EQ(found["release"], "DeepSeek-V4-Base-DSpark, 5 layers 256 wide");
  for (const json& part : found["weights"]) {
    if (part["part"] == "routed experts") {
      EXPECT_EQ(part["formats"], json({"F8_E4M3 + F32"}));
    }
  }
}

TEST(Check, RefusesWithCodeTwoAndTheReason) {
  const TempDir directory;
  const std::pair<const char*, const char*> forms[] = {{"v41", "is of DeepSeek-V4.1"},
                                                       {"nvfp4", "is a ModelOpt re-pack"},
                                                       {"lfs-pointer", "is a Git LFS pointer"},
                                                       {"truncated", "truncated: tensor"}};
  for (const auto& [form, reason] : forms) {
    const Ended ended = check(make_form(directory, form));
    EXPECT_EQ(ended.code, 2) << form;
    EXPECT_EQ(ended.output, "") << form;
    EXPECT_NE(ended.errors.find(reason), std::string::npos) << ended.errors;
  }
}

TEST(Check, PrintsWhatWasFoundWhereItCannotServe) {
  const TempDir directory;
  const std::string folder = make_form(directory, "base");
  std::filesystem::remove(folder + "/tokenizer.model");
  const Ended ended = check(folder);
  EXPECT_EQ(ended.code, 2);
  EXPECT_NE(ended.errors.find("neither tokenizer.json nor tokenizer.model is there"), std::string::npos);
  const json found = json::parse(ended.output);
  EXPECT_EQ(found["release"], "DeepSeek-V4-Base-DSpark, 5 layers 256 wide");
  EXPECT_FALSE(found["weights"].empty());
  EXPECT_NE(found["error"].get<std::string>().find("tokenizer.json"), std::string::npos);
  EXPECT_FALSE(found.contains("context"));
}

TEST(Check, MemoryThatIsNotThereIsNamed) {
  const auto expect_named = [](const Ended& ended, const std::vector<std::string>& fragments) {
    EXPECT_EQ(ended.code, 2) << ended.errors;
    for (const std::string& fragment : fragments)
      EXPECT_NE(ended.errors.find(fragment), std::string::npos) << fragment << " in " << ended.errors;
  };
  expect_named(check(kNano, {"--kv-cache-mib", "16777216"}),
               {"the options need ", "memory", "--kv-cache-mib for ", "tokens"});
  expect_named(check(kNano, {"--prefix-cache-mib", "16777216"}), {"--prefix-cache-mib of 16384.0 GiB"});
  expect_named(check(kNano, {"--max-sequences", "4096", "--context", "8192", "--kv-cache-mib", "1"}),
               {"--kv-cache-mib of 1 MiB is too little: --max-sequences of 4096 need "});
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  // Sanitizers reserve more addresses than any limit would leave them.
#else
  rlimit old{};
  getrlimit(RLIMIT_AS, &old);
  const rlimit small{rlim_t{3} << 30, old.rlim_max};
  setrlimit(RLIMIT_AS, &small);
  const Ended limited = check(kNano, {"--batch-rows", "65536"});
  setrlimit(RLIMIT_AS, &old);
  expect_named(limited, {"ulimit -v is 3.0 GiB", "--batch-rows 65536"});
#endif
}

}  // namespace
}  // namespace ft::server
