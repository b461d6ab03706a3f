#include "encoding/sentencepiece_tokenizer.h"

#include <fmt/format.h>
#include <sentencepiece_processor.h>

#include <algorithm>
#include <charconv>

#include "encoding/settled_ids.h"
#include "encoding/utf8.h"
#include "encoding/window_merger.h"

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
  std::vector<size_t> made;
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
    } else if (model_->IsUnused(id)) {
      // The library takes such a piece apart again by what it met elsewhere in the text.
      return fmt::format("piece {} is marked as unused, which V4 tokenizers do not do", id);
    } else {
      bytes_.push_back(replace_all(piece, kSpaceMark, " "));
      longest_token_ = std::max(longest_token_, piece.size());
      made.push_back(index);
    }
    if (added[index]) longest_token_ = std::max(longest_token_, piece.size());
  }
  for (size_t byte = 0; byte < 256; ++byte) {
    if (byte_piece_[byte] < 0) return fmt::format("the model lacks the byte piece <0x{:02X}>", byte);
  }
  std::vector<std::string_view> texts;
  for (const size_t id : made) texts.push_back(bytes_[id]);
  prefixes_ = TokenPrefixes(std::move(texts));
  return "";
}

// A model with a dummy prefix, extra whitespace removal or a Unicode normalisation gives other text back.
std::string SentencepieceTokenizer::check_faithful() const {
  constexpr std::string_view kProbe = "a  b \t\n \n\nﬁ ① e\xCC\x81 ";
  const EncodingResult<std::string> text = decode(model_->EncodeAsIds(kProbe));
  if (!text || *text != kProbe) {
    return "the model alters text (dummy prefix, whitespace removal or normalisation), which V4 tokenizers "
           "do not";
  }
  return "";
}

// The library on one part. It knows spaces as U+2581 and reads that character as a space, too, so a piece is
// matched with the text to find where it ends.
class SentencepieceTokenizer::Merger : public TextMerger {
 public:
  explicit Merger(const SentencepieceTokenizer& tokenizer) : tokenizer_(&tokenizer) {}

  void merge(std::string_view text, std::vector<MergedToken>& out) override {
    out.clear();
    size_t end = 0;
    for (const int id : tokenizer_->model_->EncodeAsIds(text)) {
      for (const char byte : tokenizer_->token_bytes(id)) {
        end += byte == ' ' && text.substr(end).starts_with(kSpaceMark) ? kSpaceMark.size() : 1;
      }
      out.push_back({id, end});
    }
  }
  bool begins_token(std::string_view text) const override {
    return tokenizer_->prefixes_.is_proper_prefix(replace_all(text, kSpaceMark, " "));
  }
  size_t longest() const override { return tokenizer_->longest_token_; }

 private:
  const SentencepieceTokenizer* tokenizer_;
};

// Walks over genuine control strings and, in the texts between, the cuts inside forged ones and client text's
// space marks.
class SentencepieceTokenizer::Job : public EncodeJob {
 public:
  Job(const SentencepieceTokenizer& tokenizer, std::string_view text, std::span<const ByteRange> client,
      size_t max_tokens, size_t window)
      : EncodeJob(text, client, tokenizer.longest_token_, max_tokens),
        tokenizer_(&tokenizer),
        merger_(tokenizer),
        windows_(merger_, window) {}

 private:
  void step() override {
    if (at_ == between_end_) {
      if (match_) take_match();
      find_match();
      return;
    }
    if (at_ == mark_) {
      for (const char byte : kSpaceMark) {
        ids_.push_back(tokenizer_->byte_piece_[static_cast<uint8_t>(byte)]);
      }
      at_ += kSpaceMark.size();
      find_mark();
    }
    while (cut_ <= at_ && cut_ < between_end_) find_cut(forged_ + 1);
    const size_t end = std::min({cut_, mark_, between_end_});
    at_ += windows_.merge_some(text_.substr(at_, end - at_), ids_);
  }

  void take_match() {
    ids_.push_back(match_->id);
    at_ = match_->end;
  }

  void find_match() {
    match_ = tokenizer_->added_.next(text_, at_, client_, range_);
    between_end_ = match_ ? match_->begin : text_.size();
    find_cut(at_);
    find_mark();
  }

  void find_cut(size_t from) {
    const std::string_view until = text_.substr(0, between_end_);
    forged_ = tokenizer_->added_.next_begin(until, from);
    cut_ = forged_ < between_end_ ? forged_ + read_utf8(until, forged_).length : between_end_;
  }

  void find_mark() {
    const std::string_view until = text_.substr(0, between_end_);
    mark_ = at_;
    while ((mark_ = until.find(kSpaceMark, mark_)) != std::string_view::npos && !is_client(client_, mark_)) {
      mark_ += kSpaceMark.size();
    }
    mark_ = std::min(mark_, between_end_);
  }

  const SentencepieceTokenizer* tokenizer_;
  Merger merger_;
  WindowMerger windows_;
  std::optional<AddedTokens::Match> match_;  // the next genuine control string; empty at first
  size_t range_ = 0;                         // place in `client_` of the search for it
  size_t between_end_ = 0;                   // where it begins
  size_t forged_ = 0, cut_ = 0;  // the next forged one before it, and the end of its first character
  size_t mark_ = 0;              // the next space mark of the client before it
};

std::unique_ptr<EncodeJob> SentencepieceTokenizer::start_encode(std::string_view text,
                                                                std::span<const ByteRange> client,
                                                                size_t max_tokens) const {
  return start_encode(text, client, max_tokens, 0);
}

std::unique_ptr<EncodeJob> SentencepieceTokenizer::start_encode(std::string_view text,
                                                                std::span<const ByteRange> client,
                                                                size_t max_tokens, size_t window) const {
  return std::make_unique<Job>(*this, text, client, max_tokens, window);
}

std::vector<TokenId> SentencepieceTokenizer::settled(std::string_view text) const {
  Merger merger(*this);
  WindowMerger windows(merger);
  return settled_ids(added_, text, [&](std::string_view between, bool is_last, std::vector<TokenId>& ids) {
    is_last ? windows.merge_settled(between, ids) : windows.merge(between, ids);
  });
}

std::string_view SentencepieceTokenizer::token_bytes(TokenId id) const {
  if (id < 0 || id >= vocab_size()) return {};
  return bytes_[static_cast<size_t>(id)];
}

bool SentencepieceTokenizer::is_special(TokenId id) const {
  return id >= 0 && id < vocab_size() && special_[static_cast<size_t>(id)];
}

}  // namespace ft::encoding
