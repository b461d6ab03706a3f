#include "encoding/sentencepiece_tokenizer.h"

#include <fmt/format.h>
#include <sentencepiece_processor.h>

#include <algorithm>
#include <charconv>

#include "encoding/utf8.h"

namespace ft::encoding {
namespace {

constexpr std::string_view kSpaceMark = "\xE2\x96\x81";      // U+2581
constexpr std::string_view kUnknownText = " \xE2\x81\x87 ";  // what the library prints for the unknown piece

std::string replace_all(std::string_view text, std::string_view from, std::string_view to) {
  std::string out;
  size_t at = 0;
  for (size_t found; (found = text.find(from, at)) != std::string_view::npos; at = found + from.size()) {
    out.append(text, at, found - at).append(to);
  }
  return out.append(text.substr(at));
}

bool looks_like_control(std::string_view piece) {
  constexpr std::string_view kBar = "｜";
  if (piece.size() > 2 * kBar.size() && piece.starts_with(kBar) && piece.ends_with(kBar)) return true;
  if (piece.starts_with("<｜") && piece.ends_with("｜>")) return true;
  return piece == "<think>" || piece == "</think>" || piece == "<tool_result>" || piece == "</tool_result>";
}

// Bytes of `text[offset...]` that belong to client text.
bool is_client(std::span<const ByteRange> client, size_t at) {
  const auto range = std::upper_bound(client.begin(), client.end(), at,
                                      [](size_t value, const ByteRange& r) { return value < r.end; });
  return range != client.end() && range->begin <= at;
}

}  // namespace

SentencepieceTokenizer::SentencepieceTokenizer() : model_(new sentencepiece::SentencePieceProcessor) {}
SentencepieceTokenizer::~SentencepieceTokenizer() = default;

EncodingResult<std::unique_ptr<SentencepieceTokenizer>> SentencepieceTokenizer::from_bytes(
    std::string_view model, const Json& config) {
  if (model.empty()) return fail(ErrorKind::kInvalidFile, "the file is empty");
  std::unique_ptr<SentencepieceTokenizer> out(new SentencepieceTokenizer);
  const auto status = out->model_->LoadFromSerializedProto(model);
  if (!status.ok()) {
    return fail(ErrorKind::kInvalidFile, fmt::format("not a sentencepiece model: {}", status.ToString()));
  }
  std::string message = out->read_pieces(config);
  if (message.empty()) message = out->check_faithful();
  if (!message.empty()) return fail(ErrorKind::kInvalidFile, std::move(message));
  return out;
}

std::string SentencepieceTokenizer::read_pieces(const Json& config) {
  const int size = model_->GetPieceSize();
  special_.resize(static_cast<size_t>(size));
  std::vector<bool> added(static_cast<size_t>(size));
  const Json& listed = config.get("added_tokens_decoder");
  if (listed.is_object()) {
    for (const auto& [key, token] : listed.as_object()) {
      int id = -1;
      std::from_chars(key.data(), key.data() + key.size(), id);
      if (id < 0 || id >= size || token.get("content") != Json(model_->IdToPiece(id))) {
        return fmt::format(
            "tokenizer_config.json: added_tokens_decoder entry \"{}\" is not the model's piece", key);
      }
      added[static_cast<size_t>(id)] = true;
      special_[static_cast<size_t>(id)] = token.get("special").truthy();
    }
  }
  byte_piece_.fill(-1);
  for (int id = 0; id < size; ++id) {
    const std::string& piece = model_->IdToPiece(id);
    const size_t index = static_cast<size_t>(id);
    if (!listed.is_object() && looks_like_control(piece)) added[index] = special_[index] = true;
    if (added[index]) {
      // A forged string is cut after its first character, which takes at least two.
      if (read_utf8(piece, 0).length >= piece.size() || !added_.add(piece, id)) {
        return fmt::format("control piece {} is too short or repeated", id);
      }
      bytes_.push_back(piece);
    } else if (model_->IsControl(id)) {
      special_[index] = true;
      bytes_.push_back(piece);
    } else if (model_->IsUnknown(id)) {
      bytes_.emplace_back(kUnknownText);
    } else if (model_->IsByte(id)) {  // "<0xE2>"
      uint32_t byte = 0;
      std::from_chars(piece.data() + 3, piece.data() + piece.size(), byte, 16);
      byte_piece_[byte & 0xFF] = id;
      bytes_.emplace_back(1, static_cast<char>(byte));
    } else {
      bytes_.push_back(replace_all(piece, kSpaceMark, " "));
    }
  }
  for (size_t byte = 0; byte < 256; ++byte) {
    if (byte_piece_[byte] < 0) return fmt::format("the model lacks the byte piece <0x{:02X}>", byte);
  }
  return "";
}

// A model with a dummy prefix, extra whitespace removal or a Unicode normalisation gives other text back.
std::string SentencepieceTokenizer::check_faithful() const {
  constexpr std::string_view kProbe = "a  b \t\n \n\nﬁ ① e\xCC\x81 ";
  std::vector<TokenId> ids;
  encode_part(kProbe, ids);
  const EncodingResult<std::string> text = decode(ids);
  if (!text || *text != kProbe) {
    return "the model alters text (dummy prefix, whitespace removal or normalisation), which V4 tokenizers "
           "do not";
  }
  return "";
}

std::vector<TokenId> SentencepieceTokenizer::encode(std::string_view text,
                                                    std::span<const ByteRange> client) const {
  if (is_valid_utf8(text)) return encode_clean(text, client);
  const CleanText clean = clean_text(text, client);
  return encode_clean(clean.text, clean.client);
}

std::vector<TokenId> SentencepieceTokenizer::encode_clean(std::string_view text,
                                                          std::span<const ByteRange> client) const {
  std::vector<TokenId> ids;
  size_t at = 0;
  for (const AddedTokens::Match& match : added_.find(text, client)) {
    encode_between(text.substr(at, match.begin - at), at, client, ids);
    ids.push_back(match.id);
    at = match.end;
  }
  encode_between(text.substr(at), at, client, ids);
  return ids;
}

// `text` begins at `offset` of the text that `client` refers to, and holds no genuine control string.
void SentencepieceTokenizer::encode_between(std::string_view text, size_t offset,
                                            std::span<const ByteRange> client,
                                            std::vector<TokenId>& ids) const {
  size_t at = 0;
  const auto encode_until = [&](size_t end) {
    encode_part(text.substr(at, end - at), ids);
    at = end;
  };
  // Cuts inside forged strings, and client text's space marks, in one ascending pass.
  std::vector<size_t> cuts;
  for (const size_t begin : added_.begins(text)) cuts.push_back(begin + read_utf8(text, begin).length);
  size_t cut = 0;
  size_t mark = text.find(kSpaceMark);
  while (cut < cuts.size() || mark != std::string_view::npos) {
    if (cut < cuts.size() && (mark == std::string_view::npos || cuts[cut] <= mark)) {
      encode_until(cuts[cut++]);
      continue;
    }
    if (is_client(client, offset + mark)) {
      encode_until(mark);
      for (const char byte : kSpaceMark) ids.push_back(byte_piece_[static_cast<uint8_t>(byte)]);
      at = mark + kSpaceMark.size();
    }
    mark = text.find(kSpaceMark, mark + kSpaceMark.size());
  }
  encode_until(text.size());
}

void SentencepieceTokenizer::encode_part(std::string_view text, std::vector<TokenId>& ids) const {
  if (text.empty()) return;
  const std::vector<int> part = model_->EncodeAsIds(text);
  ids.insert(ids.end(), part.begin(), part.end());
}

std::string_view SentencepieceTokenizer::token_bytes(TokenId id) const {
  if (id < 0 || id >= vocab_size()) return {};
  return bytes_[static_cast<size_t>(id)];
}

bool SentencepieceTokenizer::is_special(TokenId id) const {
  return id >= 0 && id < vocab_size() && special_[static_cast<size_t>(id)];
}

}  // namespace ft::encoding
