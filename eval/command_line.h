// The program's commands and their flags, a group per file. Part of the program, not of the library: what the
// commands do stands elsewhere, this is only how they are named.
#pragma once

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <charconv>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <iosfwd>
#include <string>
#include <system_error>
#include <type_traits>
#include <vector>

#include "eval/session.h"

namespace ft::eval {

// What the chosen command does, with its report on `out`; returns the exit code.
using Run = std::function<int(std::FILE* out)>;

// More tokens than any model's context, and few enough that products with them stay numbers.
inline constexpr int64_t kTokensMax = 1 << 24;

// A number from `low` to `high`, which nan is not; every numeric option has a range.
template <class T>
CLI::Validator within(T low, std::type_identity_t<T> high) {
  return CLI::Validator(
      [low, high](const std::string& text) {
        T value{};
        const char* end = text.data() + text.size();
        const auto [stop, error] = std::from_chars(text.data(), end, value);
        if (error == std::errc() && stop == end && value >= low && value <= high) return std::string();
        return fmt::format("{} is not a number from {} to {}", text, low, high);
      },
      fmt::format("in [{} - {}]", low, high));
}

inline constexpr uint64_t kSeedMin = 0;
inline constexpr uint64_t kSeedMax = UINT64_MAX;

inline constexpr int kDifferent = 1;  // a check has found what must not be
inline constexpr int kBadInput = 2;

// 0, or kBadInput after the message on stderr.
int report(const Result<void>& result);

// --threads, --cpu-target.
void add_cpu(CLI::App* command, CpuOptions& cpu);
// --prefill-gemm.
void add_prefill_gemm(CLI::App* command, std::string& choice);
// --model, --backend, --mode, --prefill-gemm, and those of add_cpu. Returns --model, which is required unless that is
// taken back.
CLI::Option* add_session(CLI::App* command, SessionOptions& session);

// The nano model of this checkout, and its held-out questions.
inline constexpr const char* kDefaultModel = FT_DEFAULT_MODEL;
inline constexpr const char* kDefaultPrompts = FT_DEFAULT_PROMPTS;

// Each adds its commands to `app`; the one that is chosen sets `run`.
void add_model_commands(CLI::App& app, Run& run);       // logits, generate, draft, make-random
void add_experiment_commands(CLI::App& app, Run& run);  // identity
// accept, quality, report; and load, simulate.
void add_study_commands(CLI::App& app, Run& run, const std::vector<std::string>& words);
void add_serving_commands(CLI::App& app, Run& run, const std::vector<std::string>& words);
// bench ... `words`: the command line, which results keep; here and below.
void add_bench_commands(CLI::App& app, Run& run, const std::vector<std::string>& words);
// encode, parse, tokenize, detokenize, schema: cases and answers as JSON Lines.
void add_text_commands(CLI::App& app, Run& run, std::ostream& out, std::ostream& err);

}  // namespace ft::eval
