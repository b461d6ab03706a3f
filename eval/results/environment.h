// What a result says about where it comes from: the code, the machine and the checkpoint.
#pragma once

#include <string>

#include "eval/results/result_file.h"
#include "eval/session.h"

namespace ft::eval {

// {"version", "compiler"}.
Json code_json();
// {"processor", "cores", "memory", "backend"}; the backend as it is opened, "" where none is.
Json hardware_json(const std::string& backend);
// {"path", "fingerprint", "layers", "hidden", "experts", "vocab", "draft"}. The fingerprint hashes
// config.json and, of every weight file, the name, the size and its first and last mebibyte: it tells
// checkpoints apart, it proves nothing. Errors name the file that cannot be read.
Result<Json> model_json(const std::string& path, const ModelConfig& config);
// The time now, "2026-01-31T12:00:00Z".
std::string utc_now();

}  // namespace ft::eval
