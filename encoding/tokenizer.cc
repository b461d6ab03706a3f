#include "encoding/tokenizer.h"

#include <fmt/format.h>

#include <filesystem>
#include <system_error>

#include "encoding/bpe_tokenizer.h"
#include "encoding/ordered_json.h"
#include "encoding/sentencepiece_tokenizer.h"
#include "encoding/text_file.h"
#include "encoding/utf8.h"

namespace ft::encoding {
namespace {

namespace fs = std::filesystem;

// Several times the published files' 8 and 1 MiB.
constexpr int64_t kMaxVocabularyBytes = 256 << 20;
constexpr int64_t kMaxConfigBytes = 16 << 20;

EncodingResult<Json> read_json(const std::string& path, int64_t max_bytes) {
  const EncodingResult<std::string> text = read_file(path, max_bytes);
  if (!text) return tl::unexpected<EncodingError>(text.error());
  EncodingResult<Json> value = Json::parse(*text);
  if (!value) return fail(ErrorKind::kInvalidFile, fmt::format("{}: {}", path, value.error().message));
  return value;
}

template <class T>
EncodingResult<std::unique_ptr<Tokenizer>> named(const fs::path& path,
                                                 EncodingResult<std::unique_ptr<T>> loaded) {
  if (!loaded) return fail(loaded.error().kind, fmt::format("{}: {}", path.string(), loaded.error().message));
  return std::unique_ptr<Tokenizer>(std::move(*loaded));
}

EncodingResult<std::unique_ptr<Tokenizer>> load_bpe(const fs::path& path) {
  const EncodingResult<Json> root = read_json(path.string(), kMaxVocabularyBytes);
  if (!root) return tl::unexpected<EncodingError>(root.error());
  return named(path, BpeTokenizer::from_json(*root));
}

EncodingResult<std::unique_ptr<Tokenizer>> load_sentencepiece(const fs::path& path) {
  const EncodingResult<std::string> model = read_file(path.string(), kMaxVocabularyBytes);
  if (!model) return tl::unexpected<EncodingError>(model.error());
  const std::string config_path = (path.parent_path() / "tokenizer_config.json").string();
  Json config;
  if (is_there(config_path)) {
    EncodingResult<Json> read = read_json(config_path, kMaxConfigBytes);
    if (!read) return tl::unexpected<EncodingError>(read.error());
    config = std::move(*read);
  }
  return named(path, SentencepieceTokenizer::from_bytes(*model, config));
}

}  // namespace

std::vector<TokenId> Tokenizer::encode(std::string_view text, std::span<const ByteRange> client) const {
  const std::unique_ptr<EncodeJob> job = start_encode(text, client, kNoTokenLimit);
  while (!job->advance(text.size())) {
  }
  return job->take_ids();
}

EncodingResult<std::string> Tokenizer::decode(std::span<const TokenId> ids, bool skip_special) const {
  std::string bytes;
  for (const TokenId id : ids) {
    if (id < 0 || id >= vocab_size()) {
      return fail(ErrorKind::kOutOfRange, fmt::format("token id {} is not in [0, {})", id, vocab_size()));
    }
    if (!skip_special || !is_special(id)) bytes += token_bytes(id);
  }
  return replace_ill_formed(bytes);
}

EncodingResult<std::unique_ptr<Tokenizer>> load_tokenizer(const std::string& path) {
  std::error_code status;
  if (fs::is_directory(path, status)) {
    const fs::path json = fs::path(path) / "tokenizer.json", model = fs::path(path) / "tokenizer.model";
    if (is_there(json.string())) return load_bpe(json);
    if (is_there(model.string())) return load_sentencepiece(model);
    return fail(ErrorKind::kFileNotFound,
                fmt::format("{}: neither tokenizer.json nor tokenizer.model is there", path));
  }
  const std::string extension = fs::path(path).extension().string();
  if (extension == ".json") return load_bpe(path);
  if (extension == ".model") return load_sentencepiece(path);
  if (!fs::exists(path, status)) return fail(ErrorKind::kFileNotFound, fmt::format("{}: no such file", path));
  return fail(ErrorKind::kInvalidFile, fmt::format("{}: a tokenizer is a .json or a .model file", path));
}

}  // namespace ft::encoding
