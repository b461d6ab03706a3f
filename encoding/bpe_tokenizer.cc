#include "encoding/bpe_tokenizer.h"

#include "encoding/pretokenizer.h"
#include "encoding/settled_ids.h"
#include "encoding/window_merger.h"

namespace ft::encoding {

class BpeTokenizer::Merger : public TextMerger {
 public:
  explicit Merger(const BpeTokenizer& tokenizer) : tokenizer_(&tokenizer), piece_(tokenizer.merges_) {}

  void merge(std::string_view text, std::vector<MergedToken>& out) override {
    symbols_.clear();
    for (const char byte : text) symbols_.push_back(tokenizer_->byte_token_[static_cast<uint8_t>(byte)]);
    ids_.clear();
    piece_.merge(symbols_, ids_);
    out.clear();
    size_t end = 0;
    for (const TokenId id : ids_) out.push_back({id, end += tokenizer_->token_bytes(id).size()});
  }
  bool begins_token(std::string_view text) const override {
    return tokenizer_->prefixes_.is_proper_prefix(text);
  }
  size_t longest() const override { return tokenizer_->longest_token_; }

 private:
  const BpeTokenizer* tokenizer_;
  PieceMerger piece_;
  std::vector<TokenId> symbols_, ids_;
};

// Walks over added tokens, the pieces of the texts between, and the windows of long pieces.
class BpeTokenizer::Job : public EncodeJob {
 public:
  Job(const BpeTokenizer& tokenizer, std::string_view text, std::span<const ByteRange> client,
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
    } else if (at_ == piece_end_) {
      piece_end_ += splitter_.next().size();
    } else {
      at_ += windows_.merge_some(text_.substr(at_, piece_end_ - at_), ids_);
    }
  }

  void take_match() {
    ids_.push_back(match_->id);
    at_ = match_->end;
  }

  void find_match() {
    match_ = tokenizer_->added_.next(text_, at_, client_, range_);
    between_end_ = match_ ? match_->begin : text_.size();
    splitter_ = PieceSplitter(text_.substr(at_, between_end_ - at_));
    piece_end_ = at_;
  }

  const BpeTokenizer* tokenizer_;
  Merger merger_;
  WindowMerger windows_;
  std::optional<AddedTokens::Match> match_;  // the next added token; empty at first
  size_t range_ = 0;                         // place in `client_` of the search for it
  size_t between_end_ = 0;                   // where it begins
  PieceSplitter splitter_{{}};               // of the text up to there
  size_t piece_end_ = 0;
};

std::unique_ptr<EncodeJob> BpeTokenizer::start_encode(std::string_view text,
                                                      std::span<const ByteRange> client,
                                                      size_t max_tokens) const {
  return start_encode(text, client, max_tokens, 0);
}

std::unique_ptr<EncodeJob> BpeTokenizer::start_encode(std::string_view text,
                                                      std::span<const ByteRange> client, size_t max_tokens,
                                                      size_t window) const {
  return std::make_unique<Job>(*this, text, client, max_tokens, window);
}

std::vector<TokenId> BpeTokenizer::settled(std::string_view text) const {
  Merger merger(*this);
  WindowMerger windows(merger);
  return settled_ids(added_, text, [&](std::string_view between, bool is_last, std::vector<TokenId>& ids) {
    PieceSplitter splitter(between);
    size_t end = 0;
    const size_t last = is_last ? settled_end(between) : between.size();
    for (std::string_view piece = splitter.next(); !piece.empty() && end + piece.size() <= last;
         piece = splitter.next()) {
      windows.merge(piece, ids);
      end += piece.size();
    }
  });
}

std::string_view BpeTokenizer::token_bytes(TokenId id) const {
  if (id < 0 || id >= vocab_size()) return {};
  return bytes_[static_cast<size_t>(id)];
}

bool BpeTokenizer::is_special(TokenId id) const {
  return id >= 0 && id < vocab_size() && special_[static_cast<size_t>(id)];
}

}  // namespace ft::encoding
