// Reads tokenizer.json into a BpeTokenizer, refusing whatever the tokenizer would not reproduce exactly.
#include <fmt/format.h>

#include <algorithm>
#include <unordered_map>
#include <utility>

#include "encoding/bpe_tokenizer.h"
#include "encoding/pretokenizer.h"
#include "encoding/utf8.h"

namespace ft::encoding {
namespace {

// More ids than any published vocabulary has; keeps a wild id from asking for gigabytes.
constexpr int64_t kMaxVocabulary = int64_t{1} << 22;

// The printable alphabet in which the file writes bytes: bytes that print stand for themselves, the other 68
// are U+0100, U+0101, ... in increasing order.
struct ByteAlphabet {
  std::array<char32_t, 256> character{};
  std::unordered_map<char32_t, char> byte;

  ByteAlphabet() {
    char32_t next = 0x100;
    for (uint32_t b = 0; b < 256; ++b) {
      const bool prints = (b >= 0x21 && b <= 0x7E) || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE;
      character[b] = prints ? b : next++;
      byte.emplace(character[b], static_cast<char>(b));
    }
  }

  // The bytes that `token` spells; empty if it uses other characters.
  std::optional<std::string> decode(std::string_view token) const {
    std::string out;
    for (size_t at = 0; at < token.size();) {
      const Utf8Step step = read_utf8(token, at);
      const auto found = byte.find(step.code_point);
      if (found == byte.end()) return std::nullopt;
      out.push_back(found->second);
      at += step.length;
    }
    return out;
  }
};

bool has_patterns(const Json& pre_tokenizer) {
  const Json& steps = pre_tokenizer.get("pretokenizers");
  if (!steps.is_array() || steps.size() != 4) return false;
  for (size_t i = 0; i < 3; ++i) {
    const Json& split = steps.as_array()[i];
    if (split.get("type") != Json("Split") || split.get("behavior") != Json("Isolated") ||
        split.get("invert").truthy() || split.get("pattern").get("Regex") != Json(kPretokenizerPatterns[i])) {
      return false;
    }
  }
  const Json& bytes = steps.as_array()[3];
  return bytes.get("type") == Json("ByteLevel") && !bytes.get("add_prefix_space").truthy() &&
         !bytes.get("use_regex").truthy();
}

}  // namespace

// Each step returns false after setting the message.
class BpeLoader {
 public:
  EncodingResult<std::unique_ptr<BpeTokenizer>> load(const Json& root) {
    if (check_pipeline(root) && read_vocab(root) && read_added(root) && check_ids() && read_bytes() &&
        read_merges(root)) {
      index_tokens();
      return std::move(out_);
    }
    return fail(ErrorKind::kInvalidFile, std::move(message_));
  }

 private:
  bool refuse(std::string message) {
    message_ = std::move(message);
    return false;
  }

  bool check_pipeline(const Json& root) {
    const Json& model = root.get("model");
    if (!model.is_object()) return refuse("no object `model`");
    if (model.get("type") != Json("BPE")) return refuse("model.type is not \"BPE\"");
    for (const char* key : {"dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix",
                            "byte_fallback", "ignore_merges"}) {
      if (model.get(key).truthy())
        return refuse(fmt::format("model.{} is set, which V4 tokenizers do not use", key));
    }
    const Json& normalizer = root.get("normalizer");
    if (!normalizer.is_null() &&
        (!normalizer.get("normalizers").is_array() || normalizer.get("normalizers").size() > 0)) {
      return refuse("a normalizer is set, which V4 tokenizers do not use");
    }
    if (!has_patterns(root.get("pre_tokenizer"))) {
      return refuse("pre_tokenizer is not the one of DeepSeek-V3/V4 (three Split patterns and ByteLevel)");
    }
    if (root.get("decoder").get("type") != Json("ByteLevel"))
      return refuse("decoder.type is not \"ByteLevel\"");
    return true;
  }

  bool read_vocab(const Json& root) {
    const Json& vocab = root.get("model").get("vocab");
    if (!vocab.is_object()) return refuse("no object `model.vocab`");
    for (const auto& [token, value] : vocab.as_object()) {
      const std::optional<int64_t> id = value.to_int64();
      if (!id || *id < 0 || *id >= kMaxVocabulary) {
        return refuse(fmt::format("model.vocab: token \"{}\" has no valid id", token));
      }
      if (!place(*id, token)) return refuse(fmt::format("model.vocab: id {} is given twice", *id));
      id_of_.emplace(token, static_cast<TokenId>(*id));
    }
    return true;
  }

  bool read_added(const Json& root) {
    const Json& added = root.get("added_tokens");
    if (!added.is_array()) return refuse("no array `added_tokens`");
    added_.resize(content_.size());
    for (const Json& token : added.as_array()) {
      const std::optional<int64_t> id = token.get("id").to_int64();
      const Json& content = token.get("content");
      if (!id || *id < 0 || *id >= kMaxVocabulary) return refuse("added_tokens: an entry has no valid id");
      if (!content.is_string()) return refuse(fmt::format("added_tokens: id {} has no content", *id));
      for (const char* key : {"single_word", "lstrip", "rstrip"}) {
        if (token.get(key).truthy()) return refuse(fmt::format("added_tokens: id {} sets {}", *id, key));
      }
      const size_t index = static_cast<size_t>(*id);
      const bool in_vocab = index < content_.size() && content_[index].has_value();
      if (in_vocab && (added_[index] || *content_[index] != content.as_string())) {
        return refuse(fmt::format("added_tokens: id {} is given twice", *id));
      }
      if (!in_vocab) place(*id, content.as_string());
      added_.resize(content_.size());
      added_[index] = true;
      if (!out_->added_.add(content.as_string(), static_cast<TokenId>(*id))) {
        return refuse(fmt::format("added_tokens: id {} repeats a content or has an empty one", *id));
      }
      if (token.get("special").truthy()) special_ids_.push_back(index);
    }
    return true;
  }

  bool check_ids() {
    if (content_.empty()) return refuse("the vocabulary is empty");
    for (size_t id = 0; id < content_.size(); ++id) {
      if (!content_[id]) {
        return refuse(fmt::format("no token has id {}, though ids go up to {}", id, content_.size() - 1));
      }
    }
    out_->special_.resize(content_.size());
    for (const size_t id : special_ids_) out_->special_[id] = true;
    return true;
  }

  bool read_bytes() {
    const ByteAlphabet alphabet;
    for (size_t id = 0; id < content_.size(); ++id) {
      if (added_[id]) {
        out_->bytes_.push_back(std::string(*content_[id]));
        continue;
      }
      std::optional<std::string> bytes = alphabet.decode(*content_[id]);
      if (!bytes) {
        return refuse(fmt::format("model.vocab: token \"{}\" (id {}) is not written in the byte alphabet",
                                  *content_[id], id));
      }
      out_->bytes_.push_back(std::move(*bytes));
    }
    for (uint32_t byte = 0; byte < 256; ++byte) {
      std::string token;
      append_utf8(token, alphabet.character[byte]);
      const auto found = id_of_.find(token);
      if (found == id_of_.end())
        return refuse(fmt::format("model.vocab lacks the token of byte 0x{:02X}", byte));
      out_->byte_token_[byte] = found->second;
    }
    return true;
  }

  bool read_merges(const Json& root) {
    const Json& merges = root.get("model").get("merges");
    if (!merges.is_array()) return refuse("no array `model.merges`");
    out_->merges_ = MergeTable(merges.size());
    size_t number = 0;
    for (const Json& merge : merges.as_array()) {
      std::string_view left, right;
      if (!split_merge(merge, left, right)) {
        return refuse(fmt::format("model.merges: entry {} is not a pair of tokens", number));
      }
      TokenId ids[3];
      const std::string joined = std::string(left).append(right);
      const std::string_view tokens[3] = {left, right, joined};
      for (int i = 0; i < 3; ++i) {
        const auto found = id_of_.find(tokens[i]);
        if (found == id_of_.end()) {
          return refuse(fmt::format("model.merges: entry {} needs token \"{}\", which model.vocab lacks",
                                    number, tokens[i]));
        }
        ids[i] = found->second;
      }
      if (!out_->merges_.add(ids[0], ids[1], ids[2])) {
        return refuse(fmt::format("model.merges: entry {} repeats a pair", number));
      }
      ++number;
    }
    return true;
  }

  // "left right" or ["left", "right"]; no token holds a space, since the alphabet has none.
  static bool split_merge(const Json& merge, std::string_view& left, std::string_view& right) {
    if (merge.is_string()) {
      const std::string_view text = merge.as_string();
      const size_t space = text.find(' ');
      if (space == std::string_view::npos) return false;
      left = text.substr(0, space);
      right = text.substr(space + 1);
    } else if (merge.is_array() && merge.size() == 2 && merge.as_array()[0].is_string() &&
               merge.as_array()[1].is_string()) {
      left = merge.as_array()[0].as_string();
      right = merge.as_array()[1].as_string();
    }
    return !left.empty() && !right.empty();
  }

  void index_tokens() {
    std::vector<std::string_view> made;
    for (size_t id = 0; id < added_.size(); ++id) {
      const std::string& bytes = out_->bytes_[id];
      out_->longest_token_ = std::max(out_->longest_token_, bytes.size());
      if (!added_[id]) made.push_back(bytes);
    }
    out_->prefixes_ = TokenPrefixes(std::move(made));
  }

  bool place(int64_t id, std::string_view content) {
    const size_t index = static_cast<size_t>(id);
    if (index >= content_.size()) content_.resize(index + 1);
    if (content_[index]) return false;
    content_[index] = content;
    return true;
  }

  std::unique_ptr<BpeTokenizer> out_{new BpeTokenizer};
  std::string message_;
  std::vector<std::optional<std::string_view>> content_;  // of each id, as the file spells it
  std::vector<bool> added_;
  std::vector<size_t> special_ids_;
  std::unordered_map<std::string_view, TokenId> id_of_;  // model.vocab
};

EncodingResult<std::unique_ptr<BpeTokenizer>> BpeTokenizer::from_json(const Json& root) {
  return BpeLoader().load(root);
}

}  // namespace ft::encoding
