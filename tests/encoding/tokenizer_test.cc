#include "encoding/tokenizer.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "encoding/chat_template.h"
#include "tests/encoding/vectors.h"

namespace ft::encoding {
namespace {

namespace fs = std::filesystem;

const std::string kTiny = std::string(FT_TEST_DATA) + "/tokenizer/tiny.json";
const std::string kNano = std::string(FT_MODELS) + "/v4-nano";

class TokenizerFiles : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() / ("ft_tokenizer_" + std::to_string(getpid()) + "_" +
                                           ::testing::UnitTest::GetInstance()->current_test_info()->name());
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }

  std::string write(const std::string& name, std::string_view bytes) {
    const std::string path = folder_ / name;
    std::ofstream(path, std::ios::binary) << bytes;
    return path;
  }
  // Loads, expects a refusal that names the file, returns kind and message.
  EncodingError refused(const std::string& path) {
    const auto loaded = load_tokenizer(path);
    EXPECT_FALSE(loaded) << path;
    if (loaded) return {};
    EXPECT_NE(loaded.error().message.find(path), std::string::npos) << loaded.error().message;
    return loaded.error();
  }

  fs::path folder_;
};

TEST_F(TokenizerFiles, ChoosesByWhatIsThere) {
  fs::copy_file(kNano + "/tokenizer.model", folder_ / "tokenizer.model");
  EXPECT_EQ((*load_tokenizer(folder_))->vocab_size(), 2048);
  fs::copy_file(kTiny, folder_ / "tokenizer.json");
  EXPECT_EQ((*load_tokenizer(folder_))->vocab_size(), 270);
  EXPECT_EQ((*load_tokenizer(kTiny))->vocab_size(), 270);
  EXPECT_EQ((*load_tokenizer(kNano + "/tokenizer.model"))->vocab_size(), 2048);
}

TEST_F(TokenizerFiles, MissingAndUnknownFiles) {
  EXPECT_EQ(refused(folder_).kind, ErrorKind::kFileNotFound);
  EXPECT_EQ(refused(folder_ / "tokenizer.json").kind, ErrorKind::kFileNotFound);
  EXPECT_EQ(refused(folder_ / "tokenizer.model").kind, ErrorKind::kFileNotFound);
  EXPECT_EQ(refused(folder_ / "nothing").kind, ErrorKind::kFileNotFound);
  EXPECT_EQ(refused(write("tokenizer.txt", "x")).kind, ErrorKind::kInvalidFile);
}

TEST_F(TokenizerFiles, DamagedJson) {
  EXPECT_EQ(refused(write("tokenizer.json", "")).kind, ErrorKind::kInvalidFile);
  const std::string text = read_text(kTiny);
  EXPECT_EQ(refused(write("tokenizer.json", text.substr(0, text.size() / 2))).kind, ErrorKind::kInvalidFile);
  EXPECT_EQ(refused(write("tokenizer.json", "{}")).kind, ErrorKind::kInvalidFile);
  EXPECT_EQ(refused(write("tokenizer.json", "[1]")).kind, ErrorKind::kInvalidFile);
}

TEST_F(TokenizerFiles, DamagedModel) {
  EXPECT_EQ(refused(write("tokenizer.model", "")).kind, ErrorKind::kInvalidFile);
  EXPECT_EQ(refused(write("tokenizer.model", "not a model at all")).kind, ErrorKind::kInvalidFile);
  EXPECT_EQ(refused(write("tokenizer.model", std::string(1000, '\0'))).kind, ErrorKind::kInvalidFile);
  const std::string bytes = read_text(kNano + "/tokenizer.model");
  for (const size_t size : {size_t{1}, size_t{100}, bytes.size() / 2, bytes.size() - 1}) {
    EXPECT_EQ(refused(write("tokenizer.model", bytes.substr(0, size))).kind, ErrorKind::kInvalidFile) << size;
  }
}

TEST_F(TokenizerFiles, ModelAndConfigMustAgree) {
  fs::copy_file(kNano + "/tokenizer.model", folder_ / "tokenizer.model");
  const auto with_token = [&](const char* id, const char* content) {
    Json listed = Json::object();
    listed.set(id, Json::Object{{"content", content}, {"special", true}});
    write("tokenizer_config.json", Json(Json::Object{{"added_tokens_decoder", listed}}).dump());
    return load_tokenizer(folder_);
  };
  EXPECT_TRUE(with_token("4", "<｜User｜>"));
  EXPECT_FALSE(with_token("5", "<｜User｜>"));
  EXPECT_FALSE(with_token("99999", "<｜User｜>"));
  EXPECT_FALSE(with_token("x", "<｜User｜>"));
  write("tokenizer_config.json", "{");
  EXPECT_EQ(load_tokenizer(folder_).error().kind, ErrorKind::kInvalidFile);
}

TEST_F(TokenizerFiles, WhatIsNoFileIsNamed) {
  const auto expect = [&](ErrorKind kind, const char* problem) {
    const EncodingError error = refused(folder_);
    EXPECT_EQ(error.kind, kind) << error.message;
    EXPECT_NE(error.message.find(problem), std::string::npos) << error.message;
  };
  const fs::path model = folder_ / "tokenizer.model";
  fs::create_directory(model);
  expect(ErrorKind::kInvalidFile, "tokenizer.model: is a folder");
  fs::remove(model);
  ASSERT_EQ(mkfifo(model.c_str(), 0600), 0);
  expect(ErrorKind::kInvalidFile, "is a FIFO");
  fs::remove(model);
  fs::create_symlink("/dev/zero", model);
  expect(ErrorKind::kInvalidFile, "is a device");
  fs::remove(model);
  fs::create_symlink("nowhere", model);
  expect(ErrorKind::kFileNotFound, "a link to nowhere, which is not there");
  fs::remove(model);
  write("tokenizer.model", "");
  fs::resize_file(model, uintmax_t{1} << 36);  // takes no room
  expect(ErrorKind::kInvalidFile, "at most");
  fs::remove(model);
  // The config beside a good model counts as soon as anything of its name is there.
  fs::copy_file(kNano + "/tokenizer.model", model);
  fs::create_symlink("nowhere", folder_ / "tokenizer_config.json");
  expect(ErrorKind::kFileNotFound, "tokenizer_config.json: a link to nowhere");
  fs::remove(folder_ / "tokenizer_config.json");
  fs::create_symlink("tokenizer_config.json", folder_ / "tokenizer_config.json");
  expect(ErrorKind::kInvalidFile, "tokenizer_config.json: ");
}

TEST_F(TokenizerFiles, ChatNeedsItsControlTokens) {
  EXPECT_TRUE(check_chat_tokens(**load_tokenizer(kNano)));
  const EncodingResult<void> tiny = check_chat_tokens(**load_tokenizer(kTiny));
  ASSERT_FALSE(tiny);
  EXPECT_NE(tiny.error().message.find("<｜User｜>"), std::string::npos);
}

}  // namespace
}  // namespace ft::encoding
