// A result of foretoken-eval: one JSON file that holds everything behind its figures. docs/experiments.md
// documents it.
//
//   {"schema": "foretoken-result", "version": 1, "kind": "accept" | "load" | "quality" | "simulate" | "speedup",
//    "command": [...], "started": "2026-01-31T12:00:00Z", "code": {...}, "hardware": {...}, "model": {...},
//    "seeds": [...], "configuration": {...}, "rows": [...], "figures": {...}}
//
// `rows` are what was observed; `figures` follow from them, so that a reader who trusts no figure can compute
// it again.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"

namespace ft::eval {

using Json = nlohmann::ordered_json;

inline constexpr std::string_view kResultSchema = "foretoken-result";
// Grows when a program that reads the version before would misread a file.
inline constexpr int kResultVersion = 1;

struct ResultFile {
  std::string kind;
  std::vector<std::string> command;  // the words of the command line
  std::string started;               // UTC
  Json code = Json::object();
  Json hardware = Json::object();
  Json model = Json::object();
  std::vector<uint64_t> seeds;
  Json configuration = Json::object();
  Json rows = Json::array();
  Json figures = Json::object();

  std::string json() const;
};

// Checks all of the above and the members that every row and figure of the kind must have. kInvalidFile
// naming `where`, the member and what was expected; another schema version is named with the one that this
// program reads.
Result<ResultFile> parse_result(std::string_view text, const std::string& where);
Result<ResultFile> read_result(const std::string& path);

// Runs `read`, which may use the throwing accessors of nlohmann::json; what they throw becomes a kInvalidFile
// that begins with `where`.
template <class Read>
Result<void> read_json(const std::string& where, Read read) {
  try {
    read();
    return {};
  } catch (const nlohmann::json::exception& error) {
    return fail(ErrorCode::kInvalidFile, "{}: {}", where, error.what());
  }
}

}  // namespace ft::eval
