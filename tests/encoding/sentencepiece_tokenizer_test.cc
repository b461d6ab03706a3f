#include "encoding/sentencepiece_tokenizer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <random>
#include <thread>

#include "encoding/chat_template.h"
#include "encoding/detokenizer.h"
#include "encoding/utf8.h"
#include "tests/encoding/vectors.h"

namespace ft::encoding {
namespace {

const Tokenizer& nano() {
  static const auto kLoaded = load_tokenizer(std::string(FT_MODELS) + "/v4-nano");
  EXPECT_TRUE(kLoaded) << kLoaded.error().message;
  return **kLoaded;
}

bool is_control(TokenId id) {
  return id < 3 || (id >= 4 && id <= 26);
}

TEST(SentencepieceTokenizer, GoldenPrompts) {
  const std::string path = std::string(FT_TEST_DATA) + "/tokenizer/nano_prompts.json";
  const Json items = read_json(path);
  ASSERT_EQ(items.size(), 40u);
  for (const Json& item : items.as_array()) {
    SCOPED_TRACE(item.get("id").dump());
    Json ids = Json::array();
    for (const TokenId id : nano().encode(item.get("prompt").as_string())) ids.push_back(id);
    EXPECT_EQ(ids.dump(), item.get("prompt_ids").dump());
    std::vector<TokenId> reply;
    for (const Json& id : item.get("greedy_ids").as_array())
      reply.push_back(static_cast<TokenId>(*id.to_int64()));
    EXPECT_EQ(*nano().decode(reply), item.get("greedy_text").as_string());
    // The same prompt from its messages, client text protected.
    ChatOptions options;
    options.thinking = item.get("thinking").as_bool();
    const EncodingResult<Prompt> prompt = encode_chat(item.get("messages"), options);
    ASSERT_TRUE(prompt) << prompt.error().message;
    EXPECT_EQ(prompt->text, item.get("prompt").as_string());
    Json protected_ids = Json::array();
    for (const TokenId id : nano().encode(prompt->text, prompt->client)) protected_ids.push_back(id);
    EXPECT_EQ(protected_ids.dump(), item.get("prompt_ids").dump());
  }
}

TEST(SentencepieceTokenizer, ControlTokens) {
  EXPECT_EQ(nano().vocab_size(), 2048);
  EXPECT_EQ(nano().id_of(kBosToken), 0);
  EXPECT_EQ(nano().id_of(kEosToken), 1);
  EXPECT_EQ(nano().id_of("<tool_result>"), 20);
  EXPECT_EQ(nano().id_of("hello"), std::nullopt);
  EXPECT_EQ(nano().token_bytes(0), kBosToken);
  EXPECT_EQ(nano().token_bytes(7), "</think>");
  EXPECT_EQ(nano().token_bytes(2048), "");
  EXPECT_EQ(nano().token_bytes(-5), "");
  EXPECT_TRUE(nano().is_special(1));
  EXPECT_FALSE(nano().is_special(27));
  EXPECT_EQ(*nano().decode(std::vector<TokenId>{0, 27, 28, 1}),
            std::string(kBosToken) + "\n\n\n" + std::string(kEosToken));
  EXPECT_EQ(*nano().decode(std::vector<TokenId>{0, 27, 1}, true), "\n");
  EXPECT_FALSE(nano().decode(std::vector<TokenId>{2048}));
  EXPECT_EQ(nano().encode("").size(), 0u);
}

TEST(SentencepieceTokenizer, ForgedControlTextStaysText) {
  for (TokenId id = 0; id <= 26; ++id) {
    if (!is_control(id)) continue;
    const std::string content(nano().token_bytes(id));
    for (const std::string& text : {content, "a " + content + " b", content + content, "<" + content + ">"}) {
      const std::vector<TokenId> trusted = nano().encode(text);
      EXPECT_EQ(std::count(trusted.begin(), trusted.end(), id), text == content + content ? 2 : 1) << text;
      const std::vector<TokenId> ids = nano().encode(text, std::vector<ByteRange>{{0, text.size()}});
      EXPECT_EQ(*nano().decode(ids), text);
      EXPECT_TRUE(std::none_of(ids.begin(), ids.end(), is_control)) << text;
    }
    // One client byte inside is enough; the same string from the format stays a token.
    const std::string twice = content + content;
    const std::vector<TokenId> ids =
        nano().encode(twice, std::vector<ByteRange>{{content.size() - 1, content.size()}});
    EXPECT_EQ(std::count_if(ids.begin(), ids.end(), is_control), 1) << twice;
    EXPECT_EQ(ids.back(), id);
  }
}

// No client range ever reaches into a control token, and text without forged strings has the ids of the
// library.
TEST(SentencepieceTokenizer, AnyClientTextRoundTrips) {
  std::mt19937 random(43);
  const char* const parts[] = {"<think>",
                               "<｜User｜>",
                               "｜DSML｜",
                               " ",
                               "  ",
                               "\n",
                               "\n\n",
                               "12345",
                               "abc",
                               "你好",
                               "😀",
                               "<｜",
                               "｜>",
                               "<",
                               "｜",
                               "think>",
                               "User",
                               "</tool_result>",
                               "<｜end▁of▁sentence｜>",
                               "▁"};
  for (int round = 0; round < 1500; ++round) {
    std::string text;
    for (size_t i = random() % 16; i > 0; --i) text += parts[random() % std::size(parts)];
    const std::vector<TokenId> ids = nano().encode(text, std::vector<ByteRange>{{0, text.size()}});
    EXPECT_EQ(*nano().decode(ids), text);
    EXPECT_TRUE(std::none_of(ids.begin(), ids.end(), is_control)) << text;
    Detokenizer stream(nano());
    std::string streamed;
    for (const TokenId id : ids) {
      streamed += stream.feed(id);
      EXPECT_TRUE(is_valid_utf8(streamed));
    }
    EXPECT_EQ(streamed + stream.flush(), text);

    std::vector<ByteRange> client;
    for (size_t at = 0; at < text.size();) {
      const size_t begin = at + random() % 9, end = begin + 1 + random() % 12;
      if (end > text.size()) break;
      client.push_back({begin, end});
      at = end + 1;
    }
    const std::vector<TokenId> mixed = nano().encode(text, client);
    size_t at = 0;
    for (const TokenId id : mixed) {
      // A space mark outside client text is a space to the library, two bytes shorter.
      const std::string_view bytes = nano().token_bytes(id);
      size_t end = at;
      for (size_t i = 0; i < bytes.size(); ++i) {
        end += bytes[i] == ' ' && text.substr(end, 3) == "▁" ? 3 : 1;
      }
      if (is_control(id)) {
        for (const ByteRange& range : client) EXPECT_FALSE(range.begin < end && range.end > at) << text;
      }
      at = end;
    }
    EXPECT_EQ(at, text.size());
  }
  for (const char* text :
       {"Hello world", " a  b ", "x\n\ny", "你会做什么？", "12 + 34 = 46", "tab\there", "\x01"}) {
    EXPECT_EQ(nano().encode(text, std::vector<ByteRange>{{0, std::string_view(text).size()}}),
              nano().encode(text));
  }
}

TEST(SentencepieceTokenizer, InvalidBytesBecomeReplacementCharacters) {
  EXPECT_EQ(*nano().decode(nano().encode("a\xFF"
                                         "b\xE4\xBD")),
            "a\uFFFDb\uFFFD");
  EXPECT_EQ(*nano().decode(nano().encode(std::string("a\0b", 3))), std::string("a\0b", 3));
}

TEST(SentencepieceTokenizer, ConcurrentUse) {
  const std::string text = "Many threads, one tokenizer: 你好 <think> 12345 😀\n";
  const std::vector<ByteRange> client{{5, text.size()}};
  const std::vector<TokenId> expected = nano().encode(text, client);
  std::atomic<int> wrong = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int k = 0; k < 200; ++k) wrong += nano().encode(text, client) != expected;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
}

TEST(FullSentencepieceTokenizer, LongInputsAreFast) {
  const auto start = std::chrono::steady_clock::now();
  for (const char* unit : {"a", " ", "<｜User｜>"}) {
    std::string text;
    while (text.size() < (size_t{1} << 20)) text += unit;
    EXPECT_EQ(*nano().decode(nano().encode(text, std::vector<ByteRange>{{0, text.size()}})), text);
  }
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(60));
}

}  // namespace
}  // namespace ft::encoding
