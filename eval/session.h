// What most commands begin with: a backend, a loaded checkpoint, and files of prompts.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/backend_factory.h"
#include "core/error.h"
#include "core/weights.h"
#include "encoding/tokenizer.h"

namespace ft::ranks {
class Ranks;
}

namespace ft::eval {

struct SessionOptions {
  std::string model;             // checkpoint directory
  std::string backend = "auto";  // auto, cpu, cuda, reference
  std::string mode = "official";
  CpuOptions cpu;
  std::string prefill_gemm = "invariant";  // invariant, cublaslt
};

// A checkpoint loaded for a backend. The backend outlives the checkpoint.
struct Session {
  std::unique_ptr<Backend> backend;
  std::unique_ptr<Checkpoint> checkpoint;

  const ModelConfig& config() const { return checkpoint->config(); }
};

// The backend of `options`, which names no model then.
Result<std::unique_ptr<Backend>> open_backend(const SessionOptions& options);

// The ranks that sessions from now on are opened on; they outlive these. Without a call it is this process alone.
// Process-wide, as a launch is.
void use_ranks(ranks::Ranks& ranks);

// Opens the model on all ranks.
Result<Session> open_session(const SessionOptions& options);

// The tokenizer beside a checkpoint.
Result<std::unique_ptr<encoding::Tokenizer>> open_tokenizer(const std::string& model);

// A file of token-id lists, `[[1, 2], [3]]`. Errors name the file and the list.
Result<std::vector<std::vector<int32_t>>> read_token_lists(const std::string& path);

// A prompt, and what kind of content it is: its line's "domain" or "category", "" where it has none.
struct Prompt {
  std::vector<int32_t> tokens;
  std::string domain;
  std::string answer;  // its line's "answer", "" where it has none
};

// Whether messages are rendered for a reply with reasoning: as their line says, or all alike.
enum class ThinkingMode : uint8_t { kAsIs, kOn, kOff };
// "as-is", "on" or "off". kInvalidArgument for any other.
Result<ThinkingMode> parse_thinking(const std::string& name);

// A file of prompts, one JSON object per line: {"tokens": [...]} or {"prompt": "..."} (control strings in the
// text count as such) or {"messages": [...], "thinking": bool} or {"turns": ["...", ...]} (the first turn as
// a user's message: DeepSpec, MT-Bench, SPEED-Bench). "domain", or else "category", and "answer" are read,
// other members are ignored. Errors name the file and the line. `tokenizer` may be null if every line has
// tokens; `config` picks the chat profile. A thinking mode other than kAsIs needs messages or turns in every
// line.
Result<std::vector<Prompt>> read_domain_prompts(const std::string& path, const ModelConfig& config,
                                                const encoding::Tokenizer* tokenizer,
                                                ThinkingMode thinking = ThinkingMode::kAsIs);
// The same without domains.
Result<std::vector<std::vector<int32_t>>> read_prompts(const std::string& path, const ModelConfig& config,
                                                       const encoding::Tokenizer* tokenizer);

// The prompts of a file with the tokenizer beside `model`, if there is one. An empty file is kInvalidFile.
Result<std::vector<Prompt>> load_prompts(const std::string& path, const ModelConfig& config,
                                         const std::string& model,
                                         ThinkingMode thinking = ThinkingMode::kAsIs);

}  // namespace ft::eval
