// The program's commands and their flags, a group per file. Part of the program, not of the library: what the
// commands do stands elsewhere, this is only how they are named.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdio>
#include <functional>
#include <iosfwd>

#include "eval/session.h"

namespace ft::eval {

// What the chosen command does, with its report on `out`; returns the exit code.
using Run = std::function<int(std::FILE* out)>;

inline constexpr int kDifferent = 1;  // a check has found what must not be
inline constexpr int kBadInput = 2;

// 0, or kBadInput after the message on stderr.
int report(const Result<void>& result);

// --model, --backend, --mode, --threads.
void add_session(CLI::App* command, SessionOptions& session);

// Each adds its commands to `app`; the one that is chosen sets `run`.
void add_model_commands(CLI::App& app, Run& run);       // logits, generate, draft, make-random
void add_experiment_commands(CLI::App& app, Run& run);  // accept, identity
void add_bench_commands(CLI::App& app, Run& run);       // bench ...
// encode, parse, tokenize, detokenize: cases and answers as JSON Lines.
void add_text_commands(CLI::App& app, Run& run, std::ostream& out, std::ostream& err);

}  // namespace ft::eval
