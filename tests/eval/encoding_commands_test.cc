#include "eval/encoding_commands.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <sstream>
#include <utility>

#include "tests/encoding/vectors.h"
#include "tests/support/temp_dir.h"

namespace ft::eval {
namespace {

using encoding::Json;

const std::string kData = FT_TEST_DATA;
const std::string kTiny = kData + "/tokenizer/tiny.json";

struct Outcome {
  int code;
  std::string out, err;
  std::vector<Json> lines() const {
    std::vector<Json> values;
    std::istringstream stream(out);
    for (std::string line; std::getline(stream, line);) values.push_back(*Json::parse(line));
    return values;
  }
};

Outcome run(const std::function<int(std::ostream&, std::ostream&)>& command) {
  std::ostringstream out, err;
  const int code = command(out, err);
  return {code, out.str(), err.str()};
}

// Line i of the output answers case i, with the expected value or error type.
void expect_answers(const Outcome& outcome, const std::vector<Json>& cases, const char* key,
                    const char* expected) {
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(outcome.err, "");
  const std::vector<Json> lines = outcome.lines();
  ASSERT_EQ(lines.size(), cases.size());
  for (size_t i = 0; i < cases.size(); ++i) {
    EXPECT_EQ(lines[i].get("id"), cases[i].get("id"));
    if (const Json* error = cases[i].find("error")) {
      EXPECT_EQ(lines[i].get("error").get("type"), error->get("type")) << lines[i].dump();
    } else {
      EXPECT_EQ(lines[i].get(key).dump(), cases[i].get(expected).dump());
    }
  }
}

TEST(EncodingCommands, EncodeAnswersTheVectors) {
  for (const auto& [name, count] : {std::pair("cases", 258), std::pair("effort_0731_cases", 16)}) {
    const std::string file = std::string("encoding/") + name + ".jsonl";
    expect_answers(run([&](auto& out, auto& err) { return run_encode(kData + "/" + file, out, err); }),
                   encoding::read_cases(file, static_cast<size_t>(count)), "prompt", "expected_prompt");
  }
}

TEST(EncodingCommands, ParseAnswersTheVectors) {
  expect_answers(
      run([](auto& out, auto& err) { return run_parse(kData + "/encoding/parse_cases.jsonl", out, err); }),
      encoding::read_cases("encoding/parse_cases.jsonl", 114), "message", "expected");
}

TEST(EncodingCommands, TokenizeAndDetokenize) {
  const TempDir folder;
  const std::string texts =
      folder.write("texts", "{\"id\":\"a\",\"text\":\"abc <think>\"}\n\n{\"id\":2,\"text\":\"\"}\r\n");
  const Outcome ids = run([&](auto& out, auto& err) { return run_tokenize(kTiny, texts, out, err); });
  ASSERT_EQ(ids.code, 0) << ids.err;
  ASSERT_EQ(ids.lines().size(), 2u);
  EXPECT_EQ(ids.lines()[0].get("id"), Json("a"));
  EXPECT_EQ(ids.lines()[0].get("ids").size(), 3u);
  EXPECT_EQ(ids.lines()[1].dump(), "{\"id\": 2, \"ids\": []}");

  const std::string lists = folder.write("ids", "{\"id\":1,\"ids\":" + ids.lines()[0].get("ids").dump() +
                                                    "}\n{\"id\":2,\"ids\":[270]}\n{\"id\":3,\"ids\":[-1]}\n");
  const Outcome text = run([&](auto& out, auto& err) { return run_detokenize(kTiny, lists, out, err); });
  ASSERT_EQ(text.code, 0) << text.err;
  EXPECT_EQ(text.lines()[0].dump(),
            "{\"id\": 1, \"text\": \"abc <think>\", \"text_skip_special\": \"abc <think>\", \"stream\": "
            "[\"abc\", \" \", "
            "\"<think>\"], \"stream_flush\": \"\"}");
  EXPECT_EQ(text.lines()[1].get("error").get("type"), Json("IndexError"));
  EXPECT_EQ(text.lines()[2].get("error").get("type"), Json("IndexError"));
}

TEST(EncodingCommands, MalformedCasesNameFileAndLine) {
  const TempDir folder;
  const std::string good =
      "{\"id\":1,\"text\":\"x\",\"thinking_mode\":\"chat\",\"ids\":[],\"messages\":[],"
      "\"kwargs\":{\"thinking_mode\":\"chat\"}}\n";
  const auto expect = [&](const std::string& line, auto command) {
    const std::string path = folder.write("cases", good + line + "\n");
    const Outcome outcome = run([&](auto& out, auto& err) { return command(path, out, err); });
    EXPECT_EQ(outcome.code, 2) << line;
    EXPECT_EQ(outcome.lines().size(), 1u) << line;
    EXPECT_EQ(outcome.err.rfind(path + ":2: ", 0), 0u) << outcome.err;
    EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 1) << outcome.err;
  };
  const auto tokenize = [](const std::string& path, auto& out, auto& err) {
    return run_tokenize(kTiny, path, out, err);
  };
  const auto detokenize = [](const std::string& path, auto& out, auto& err) {
    return run_detokenize(kTiny, path, out, err);
  };
  for (const char* line : {"{", "[]", "5", "{\"id\":", "{}", "{\"id\":1} x"}) {
    expect(line, run_encode);
    expect(line, run_parse);
    expect(line, tokenize);
    expect(line, detokenize);
  }
  expect("{\"id\":1,\"kwargs\":{\"thinking_mode\":\"chat\"}}", run_encode);
  expect("{\"id\":1,\"messages\":[]}", run_encode);
  expect("{\"id\":1,\"messages\":[],\"kwargs\":{}}", run_encode);
  expect("{\"id\":1,\"messages_raw\":[],\"kwargs\":{\"thinking_mode\":\"chat\"}}", run_encode);
  expect("{\"id\":1,\"messages\":[],\"kwargs\":{\"thinking_mode\":\"chat\"},\"profile\":\"x\"}", run_encode);
  expect("{\"id\":1,\"text\":5}", run_parse);
  expect("{\"id\":1}", tokenize);
  expect("{\"id\":1,\"ids\":7}", detokenize);
  expect("{\"id\":1,\"ids\":[1.5]}", detokenize);
  expect("{\"id\":1,\"ids\":[4294967296]}", detokenize);
}

TEST(EncodingCommands, MissingFilesAreNamed) {
  const TempDir folder;
  const std::string empty = folder.write("empty", "");
  // A folder is not a file of cases.
  for (const std::string& missing : {folder.file("none"), folder.file("none/deeper"), folder.path()}) {
    const auto names_it = [&](const Outcome& outcome) {
      EXPECT_EQ(outcome.code, 2) << missing;
      EXPECT_NE(outcome.err.find(missing), std::string::npos) << outcome.err;
    };
    names_it(run([&](auto& out, auto& err) { return run_encode(missing, out, err); }));
    names_it(run([&](auto& out, auto& err) { return run_parse(missing, out, err); }));
    names_it(run([&](auto& out, auto& err) { return run_tokenize(missing, empty, out, err); }));
    names_it(run([&](auto& out, auto& err) { return run_tokenize(kTiny, missing, out, err); }));
    names_it(run([&](auto& out, auto& err) { return run_detokenize(kTiny, missing, out, err); }));
  }
}

// A raw text that is not JSON is the case's own error, not the file's.
TEST(EncodingCommands, UnreadableRawMessagesAreRefusedPerCase) {
  const TempDir folder;
  const std::string path =
      folder.write("cases", "{\"id\":1,\"messages_raw\":\"[\",\"kwargs\":{\"thinking_mode\":\"chat\"}}\n");
  const Outcome outcome = run([&](auto& out, auto& err) { return run_encode(path, out, err); });
  ASSERT_EQ(outcome.code, 0);
  EXPECT_EQ(outcome.lines()[0].get("error").get("type"), Json("ValueError"));
}

}  // namespace
}  // namespace ft::eval
