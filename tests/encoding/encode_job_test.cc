// Slices, windows and limits change no id: both tokenizers, on the texts that are hard to cut.
#include "encoding/encode_job.h"

#include <gtest/gtest.h>

#include <random>
#include <string>

#include "encoding/bpe_tokenizer.h"
#include "encoding/sentencepiece_tokenizer.h"
#include "tests/encoding/vectors.h"

namespace ft::encoding {
namespace {

const std::string kRealTokenizer = std::string(FT_DEEPSEEK_DATA) + "/tokenizer/tokenizer.json";
const std::string kTinyTokenizer = std::string(FT_TEST_DATA) + "/tokenizer/tiny.json";
const std::string kNanoTokenizer = std::string(FT_MODELS) + "/v4-nano";

std::unique_ptr<Tokenizer> load(const std::string& path) {
  auto loaded = load_tokenizer(path);
  EXPECT_TRUE(loaded) << loaded.error().message;
  return loaded ? std::move(*loaded) : nullptr;
}

std::unique_ptr<EncodeJob> start(const Tokenizer& tokenizer, std::string_view text,
                                 std::span<const ByteRange> client, size_t window) {
  if (const auto* bpe = dynamic_cast<const BpeTokenizer*>(&tokenizer)) {
    return bpe->start_encode(text, client, kNoTokenLimit, window);
  }
  return dynamic_cast<const SentencepieceTokenizer&>(tokenizer).start_encode(text, client, kNoTokenLimit,
                                                                             window);
}

std::vector<TokenId> encode_in(const Tokenizer& tokenizer, std::string_view text,
                               std::span<const ByteRange> client, size_t window, size_t slice) {
  const auto job = start(tokenizer, text, client, window);
  size_t before = 0;
  while (!job->advance(slice)) {
    EXPECT_GE(job->tokens_at_least(), before);
    before = job->tokens_at_least();
  }
  EXPECT_GE(job->tokens_at_least(), before);
  const size_t counted = job->tokens_at_least();
  std::vector<TokenId> ids = job->take_ids();
  EXPECT_EQ(counted, ids.size());
  return ids;
}

std::string repeated(std::string_view unit, size_t size) {
  std::string text;
  while (text.size() < size) text += unit;
  return text;
}

constexpr std::string_view kUnits[] = {
    "a",        "ab",     "e",       "the",        " ",        "  \n",   "\n",   "\n\n",    "\t",
    "1",        "12345",  "😀",       "é",          "e\u0301",  "你",     "你好", "<",       "<｜",
    "｜",       "<think", "<think>", "<｜User｜>", "▁",        " ▁",     "=",    "--",      "....",
    "aA",       "xyz ",   ", ",      "\xFF",       "\xE4\xBD", "\u200b", "カ・", "hellohe", "tttttthh",
    "\r\n\r\n", "/",      "ſ",       "𝔘𝔫𝔦",        "٣",        "ing",    "</",   "0 "};

std::string random_text(std::mt19937& random) {
  std::string text;
  for (size_t parts = 1 + random() % 6; parts > 0; --parts) {
    const std::string_view unit = kUnits[random() % std::size(kUnits)];
    const size_t size = random() % 4 == 0 ? random() % 400 : random() % 12;
    text += repeated(unit, size);
  }
  return text;
}

std::vector<ByteRange> random_ranges(std::mt19937& random, size_t size) {
  std::vector<ByteRange> client;
  if (random() % 3 == 0) return size > 0 ? std::vector<ByteRange>{{0, size}} : client;
  for (size_t at = 0; at < size;) {
    const size_t begin = at + random() % 60, end = begin + 1 + random() % 90;
    if (end > size) break;
    client.push_back({begin, end});
    at = end + 1;
  }
  return client;
}

void check_random_texts(const Tokenizer& tokenizer, int rounds) {
  std::mt19937 random(11);
  constexpr size_t kWhole = size_t{1} << 30;
  for (int round = 0; round < rounds; ++round) {
    const std::string text = random_text(random);
    const std::vector<ByteRange> client = random_ranges(random, text.size());
    const std::vector<TokenId> whole = encode_in(tokenizer, text, client, kWhole, kWhole);
    EXPECT_EQ(tokenizer.encode(text, client), whole);
    for (const size_t window :
         {size_t{1}, size_t{2}, size_t{5}, size_t{17}, size_t{60}, size_t{200}, kWhole}) {
      const size_t slice = 1 + random() % 50;
      ASSERT_EQ(encode_in(tokenizer, text, client, window, slice), whole)
          << "round " << round << " window " << window << " slice " << slice << "\n"
          << text;
    }
  }
}

TEST(EncodeJob, SlicesAndWindowsOfSentencepiece) {
  const auto tokenizer = load(kNanoTokenizer);
  ASSERT_TRUE(tokenizer);
  check_random_texts(*tokenizer, 250);
}

TEST(EncodeJob, SlicesAndWindowsOfTinyBpe) {
  const auto tokenizer = load(kTinyTokenizer);
  ASSERT_TRUE(tokenizer);
  check_random_texts(*tokenizer, 400);
}

TEST(EncodeJob, SlicesAndWindowsOfV4) {
  if (is_missing(kRealTokenizer)) GTEST_SKIP() << "SKIPPED: the V4 tokenizer is not at " << kRealTokenizer;
  const auto tokenizer = load(kRealTokenizer);
  ASSERT_TRUE(tokenizer);
  check_random_texts(*tokenizer, 150);
}

void check_long_texts(const Tokenizer& tokenizer) {
  constexpr size_t kSize = size_t{1} << 20;
  for (const std::string_view unit : {"a", "1", " ", "😀", "<｜", "你", "the", "=", "ab c", "\n", "e\u0301"}) {
    const std::string text = repeated(unit, kSize);
    const ByteRange client{0, text.size()};
    const std::vector<TokenId> whole =
        encode_in(tokenizer, text, {&client, 1}, size_t{1} << 30, size_t{1} << 30);
    EXPECT_EQ(encode_in(tokenizer, text, {&client, 1}, 0, 1000), whole) << unit;
    EXPECT_EQ(encode_in(tokenizer, text, {&client, 1}, 700, 1), whole) << unit;
  }
}

TEST(FullEncodeJob, LongTextsOfSentencepiece) {
  const auto tokenizer = load(kNanoTokenizer);
  ASSERT_TRUE(tokenizer);
  check_long_texts(*tokenizer);
}

TEST(FullEncodeJob, LongTextsOfV4) {
  if (is_missing(kRealTokenizer)) GTEST_SKIP() << "SKIPPED: the V4 tokenizer is not at " << kRealTokenizer;
  const auto tokenizer = load(kRealTokenizer);
  ASSERT_TRUE(tokenizer);
  check_long_texts(*tokenizer);
}

TEST(EncodeJob, TheLimitIsExact) {
  for (const std::string& path : {kNanoTokenizer, kTinyTokenizer}) {
    const auto tokenizer = load(path);
    ASSERT_TRUE(tokenizer);
    for (const std::string_view unit : kUnits) {
      const std::string text = repeated(unit, 300);
      const size_t count = tokenizer->encode(text).size();
      const auto within = tokenizer->start_encode(text, {}, count);
      while (!within->advance(10)) {
      }
      EXPECT_FALSE(within->exceeded()) << unit;
      EXPECT_EQ(within->tokens_at_least(), count) << unit;
      const auto beyond = tokenizer->start_encode(text, {}, count - 1);
      while (!beyond->advance(10)) {
      }
      EXPECT_TRUE(beyond->exceeded()) << unit;
      EXPECT_LE(beyond->tokens_at_least(), count) << unit;
      EXPECT_GE(beyond->tokens_at_least(), count - 1) << unit;
    }
  }
}

// A text is left alone as soon as it is known to be too long.
TEST(EncodeJob, ALongTextIsNotTokenizedWhole) {
  const auto tokenizer = load(kNanoTokenizer);
  ASSERT_TRUE(tokenizer);
  constexpr size_t kLimit = 1000;
  const std::string text = repeated("a", size_t{1} << 23);
  EXPECT_GT(text.size(), kLimit * tokenizer->longest_token());
  const auto by_length = tokenizer->start_encode(text, {}, kLimit);
  EXPECT_TRUE(by_length->exceeded());
  EXPECT_TRUE(by_length->advance(text.size()));
  EXPECT_TRUE(by_length->take_ids().empty());

  // Short enough for its length alone, and too long after a few windows.
  const std::string_view shorter = std::string_view(text).substr(0, kLimit * tokenizer->longest_token());
  const auto by_count = tokenizer->start_encode(shorter, {}, kLimit);
  EXPECT_FALSE(by_count->exceeded());
  EXPECT_TRUE(by_count->advance(shorter.size()));
  EXPECT_TRUE(by_count->exceeded());
  EXPECT_LT(by_count->take_ids().size(), shorter.size() / 2);
}

TEST(EncodeJob, NoTokenIsLongerThanTheLongest) {
  for (const std::string& path : {kNanoTokenizer, kTinyTokenizer}) {
    const auto tokenizer = load(path);
    ASSERT_TRUE(tokenizer);
    for (TokenId id = 0; id < tokenizer->vocab_size(); ++id) {
      EXPECT_LE(tokenizer->token_bytes(id).size(), tokenizer->longest_token()) << id;
    }
  }
}

}  // namespace
}  // namespace ft::encoding
