#include "eval/session.h"

#include <nlohmann/json.hpp>
#include <sstream>

#include "core/file.h"
#include "core/ranks/shared_model.h"
#include "encoding/chat_template.h"

namespace ft::eval {

namespace {

using nlohmann::json;

constexpr int64_t kMaxInputBytes = int64_t{1} << 30;  // of a file of prompts or tokens

Result<std::vector<int32_t>> token_list(const json& value, const std::string& where) {
  if (!value.is_array()) return fail(ErrorCode::kInvalidFile, "{}: expected a list of token ids", where);
  std::vector<int32_t> tokens;
  if (value.empty()) return fail(ErrorCode::kInvalidFile, "{}: is empty", where);
  for (const json& token : value) {
    if (!token.is_number_integer() || token.get<int64_t>() < 0 || token.get<int64_t>() > INT32_MAX)
      return fail(ErrorCode::kInvalidFile, "{}: {} is not a token id", where, token.dump());
    tokens.push_back(token.get<int32_t>());
  }
  return tokens;
}

Result<std::vector<int32_t>> prompt_tokens(const std::string& line, const std::string& where,
                                           const ModelConfig& config, const encoding::Tokenizer* tokenizer,
                                           ThinkingMode mode) {
  const json prompt = json::parse(line, nullptr, false);
  if (!prompt.is_object()) return fail(ErrorCode::kInvalidFile, "{}: not a JSON object", where);
  if (mode != ThinkingMode::kAsIs && (prompt.contains("tokens") || prompt.contains("prompt")))
    return fail(ErrorCode::kInvalidFile, "{}: thinking can be switched for messages and turns only", where);
  if (prompt.contains("tokens")) return token_list(prompt["tokens"], where + ": tokens");
  if (tokenizer == nullptr)
    return fail(ErrorCode::kInvalidFile, "{}: text needs a tokenizer beside the model", where);
  if (prompt.contains("prompt")) {
    if (!prompt["prompt"].is_string())
      return fail(ErrorCode::kInvalidFile, "{}: prompt is not a string", where);
    return tokenizer->encode(prompt["prompt"].get<std::string>());
  }
  const json turns = prompt.value("turns", json());
  const bool has_turn = turns.is_array() && !turns.empty() && turns[0].is_string();
  if (!prompt.contains("messages") && !has_turn)
    return fail(ErrorCode::kInvalidFile, "{}: has none of tokens, prompt, messages, turns", where);
  const json thinking = prompt.value("thinking", json(false));
  if (!thinking.is_boolean()) return fail(ErrorCode::kInvalidFile, "{}: thinking is not a boolean", where);
  // The messages keep the order of their members, which tool schemas depend on.
  json user_turn;
  if (has_turn) user_turn["messages"][0] = {{"role", "user"}, {"content", turns[0]}};
  const auto ordered = encoding::Json::parse(prompt.contains("messages") ? line : user_turn.dump());
  if (!ordered) return fail(ErrorCode::kInvalidFile, "{}: {}", where, ordered.error().message);
  encoding::ChatOptions options;
  options.thinking = mode == ThinkingMode::kAsIs ? thinking.get<bool>() : mode == ThinkingMode::kOn;
  options.profile = &encoding::profile_of_checkpoint(config.has_dspark(), config.vocab_size);
  if (const auto complete = encoding::check_chat_tokens(*tokenizer); !complete) {
    return fail(ErrorCode::kInvalidFile, "{}: {}", where, complete.error().message);
  }
  const auto messages = encoding::read_chat_messages(ordered->get("messages"));
  if (!messages) return fail(ErrorCode::kInvalidFile, "{}: {}", where, messages.error().message);
  const auto text = encoding::encode_chat(*messages, options);
  if (!text) return fail(ErrorCode::kInvalidFile, "{}: {}", where, text.error().message);
  return tokenizer->encode(text->text, text->client);
}

ranks::Ranks*& ranks_in_use() {
  static ranks::Ranks alone;
  static ranks::Ranks* used = &alone;
  return used;
}

// A member that is a string; "" where there is none.
std::string text_member(const json& prompt, const char* name) {
  const auto found = prompt.find(name);
  return found != prompt.end() && found->is_string() ? found->get<std::string>() : "";
}

}  // namespace

Result<ThinkingMode> parse_thinking(const std::string& name) {
  if (name == "as-is") return ThinkingMode::kAsIs;
  if (name == "on") return ThinkingMode::kOn;
  if (name == "off") return ThinkingMode::kOff;
  return fail(ErrorCode::kInvalidArgument, "thinking is \"{}\", expected as-is, on or off", name);
}

Result<std::unique_ptr<Backend>> open_backend(const SessionOptions& options) {
  const Result<Numerics> numerics = parse_numerics(options.mode);
  if (!numerics) return tl::make_unexpected(numerics.error());
  const Result<BackendChoice> choice = parse_backend_choice(options.backend);
  if (!choice) return tl::make_unexpected(choice.error());
  const Result<PrefillGemm> prefill = parse_prefill_gemm(options.prefill_gemm);
  if (!prefill) return tl::make_unexpected(prefill.error());
  return make_backend({*choice, *numerics, *prefill, options.cpu}, nullptr);
}

void use_ranks(ranks::Ranks& ranks) {
  ranks_in_use() = &ranks;
}

Result<Session> open_session(const SessionOptions& options) {
  const ranks::ModelRequest request{options.model,      options.backend,     options.mode,
                                    options.cpu.target, options.cpu.threads, options.prefill_gemm};
  const auto offer = [](const ranks::ModelRequest& asked, const ranks::Ranks& ranks) {
    return offer_rank_backend(asked, ranks);
  };
  auto model = ranks::open_shared_model(*ranks_in_use(), request, offer);
  if (!model) return tl::make_unexpected(model.error());
  Session session;
  session.backend = std::move(model->backend);
  session.checkpoint = std::move(model->checkpoint);
  return session;
}

Result<std::unique_ptr<encoding::Tokenizer>> open_tokenizer(const std::string& model) {
  auto tokenizer = encoding::load_tokenizer(model);
  if (!tokenizer) return fail(ErrorCode::kInvalidFile, "{}", tokenizer.error().message);
  return std::move(*tokenizer);
}

Result<std::vector<std::vector<int32_t>>> read_token_lists(const std::string& path) {
  const Result<std::string> text = read_file(path, kMaxInputBytes);
  if (!text) return tl::make_unexpected(text.error());
  const json lists = json::parse(*text, nullptr, false);
  if (!lists.is_array()) return fail(ErrorCode::kInvalidFile, "{}: not a JSON list of token-id lists", path);
  std::vector<std::vector<int32_t>> sequences;
  for (size_t i = 0; i < lists.size(); ++i) {
    auto tokens = token_list(lists[i], fmt::format("{}: list {}", path, i));
    if (!tokens) return tl::make_unexpected(tokens.error());
    sequences.push_back(std::move(*tokens));
  }
  return sequences;
}

Result<std::vector<Prompt>> read_domain_prompts(const std::string& path, const ModelConfig& config,
                                                const encoding::Tokenizer* tokenizer, ThinkingMode thinking) {
  auto text = read_file(path, kMaxInputBytes);
  if (!text) return tl::make_unexpected(text.error());
  std::istringstream file(std::move(*text));
  std::vector<Prompt> prompts;
  std::string line;
  for (int64_t number = 1; std::getline(file, line); ++number) {
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    auto tokens = prompt_tokens(line, fmt::format("{}:{}", path, number), config, tokenizer, thinking);
    if (!tokens) return tl::make_unexpected(tokens.error());
    if (tokens->empty()) return fail(ErrorCode::kInvalidFile, "{}:{}: the prompt is empty", path, number);
    for (const int32_t token : *tokens) {
      if (token >= config.vocab_size) {
        return fail(ErrorCode::kInvalidFile, "{}:{}: token {} is outside the vocabulary of {}", path, number,
                    token, config.vocab_size);
      }
    }
    const json parsed = json::parse(line, nullptr, false);
    std::string domain = text_member(parsed, "domain");
    if (domain.empty()) domain = text_member(parsed, "category");
    prompts.push_back({std::move(*tokens), std::move(domain), text_member(parsed, "answer")});
  }
  return prompts;
}

Result<std::vector<std::vector<int32_t>>> read_prompts(const std::string& path, const ModelConfig& config,
                                                       const encoding::Tokenizer* tokenizer) {
  auto prompts = read_domain_prompts(path, config, tokenizer);
  if (!prompts) return tl::make_unexpected(prompts.error());
  std::vector<std::vector<int32_t>> tokens;
  for (Prompt& prompt : *prompts) tokens.push_back(std::move(prompt.tokens));
  return tokens;
}

Result<std::vector<Prompt>> load_prompts(const std::string& path, const ModelConfig& config,
                                         const std::string& model, ThinkingMode thinking) {
  const auto tokenizer = open_tokenizer(model);
  auto prompts = read_domain_prompts(path, config, tokenizer ? tokenizer->get() : nullptr, thinking);
  if (prompts && prompts->empty()) return fail(ErrorCode::kInvalidFile, "{}: has no prompts", path);
  return prompts;
}

}  // namespace ft::eval
