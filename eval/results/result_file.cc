#include "eval/results/result_file.h"

#include <algorithm>
#include <array>

#include "core/file.h"

namespace ft::eval {

namespace {

constexpr int64_t kMaxResultBytes = int64_t{1} << 30;

// What rows and figures of a kind must have.
struct KindRow {
  std::string_view kind;
  std::vector<std::string_view> row;
  std::vector<std::string_view> figures;
};

const std::array<KindRow, 5>& kinds() {
  static const std::array<KindRow, 5> table = {
      KindRow{"accept", {"cell", "prompts", "ranks", "calibration", "steps"}, {"cells"}},
      KindRow{"load", {"level", "sent_s", "error", "completion_tokens"}, {"levels"}},
      KindRow{"quality", {"check"}, {"checks"}},
      KindRow{"simulate", {"arm", "point"}, {"arms"}},
      KindRow{"speedup", {"concurrency", "ratios"}, {"levels"}},
  };
  return table;
}

Result<void> expect(bool right, const std::string& where, std::string_view member,
                    std::string_view expected) {
  if (right) return {};
  return fail(ErrorCode::kInvalidFile, "{}: {} is not {}", where, member, expected);
}

Result<void> check_rows(const Json& file, const std::string& where) {
  const auto kind = std::ranges::find(kinds(), file["kind"].get<std::string>(), &KindRow::kind);
  if (kind == kinds().end())
    return fail(ErrorCode::kInvalidFile,
                "{}: kind \"{}\" is none of accept, load, quality, simulate, speedup", where,
                file["kind"].get<std::string>());
  for (size_t i = 0; i < file["rows"].size(); ++i)
    for (std::string_view member : kind->row)
      if (!file["rows"][i].is_object() || !file["rows"][i].contains(member))
        return fail(ErrorCode::kInvalidFile, "{}: rows[{}] has no {}", where, i, member);
  for (std::string_view member : kind->figures)
    if (!file["figures"].contains(member))
      return fail(ErrorCode::kInvalidFile, "{}: figures has no {}", where, member);
  return {};
}

}  // namespace

std::string ResultFile::json() const {
  Json file;
  file["schema"] = kResultSchema;
  file["version"] = kResultVersion;
  file["kind"] = kind;
  file["command"] = command;
  file["started"] = started;
  file["code"] = code;
  file["hardware"] = hardware;
  file["model"] = model;
  file["seeds"] = seeds;
  file["configuration"] = configuration;
  file["rows"] = rows;
  file["figures"] = figures;
  return file.dump(1) + "\n";
}

Result<ResultFile> parse_result(std::string_view text, const std::string& where) {
  const Json file = Json::parse(text, nullptr, false);
  if (!file.is_object()) return fail(ErrorCode::kInvalidFile, "{}: not a JSON object", where);
  if (file.value("schema", Json()) != kResultSchema)
    return fail(ErrorCode::kInvalidFile, "{}: schema is {}, expected \"{}\"", where,
                file.value("schema", Json()).dump(), kResultSchema);
  if (file.value("version", Json()) != kResultVersion)
    return fail(
        ErrorCode::kInvalidFile,
        "{}: version {} of the result schema; this program reads version {}: repeat the command that made it",
        where, file.value("version", Json()).dump(), kResultVersion);
  for (const char* member : {"kind", "started"})
    if (auto fine = expect(file.contains(member) && file[member].is_string(), where, member, "a string");
        !fine)
      return tl::make_unexpected(fine.error());
  for (const char* member : {"code", "hardware", "model", "configuration", "figures"})
    if (auto fine = expect(file.contains(member) && file[member].is_object(), where, member, "an object");
        !fine)
      return tl::make_unexpected(fine.error());
  for (const char* member : {"command", "seeds", "rows"})
    if (auto fine = expect(file.contains(member) && file[member].is_array(), where, member, "a list"); !fine)
      return tl::make_unexpected(fine.error());
  for (const Json& word : file["command"])
    if (auto fine = expect(word.is_string(), where, "command", "a list of strings"); !fine)
      return tl::make_unexpected(fine.error());
  for (const Json& seed : file["seeds"])
    if (auto fine = expect(seed.is_number_unsigned(), where, "seeds", "a list of numbers"); !fine)
      return tl::make_unexpected(fine.error());
  if (auto fine = check_rows(file, where); !fine) return tl::make_unexpected(fine.error());
  ResultFile result;
  result.kind = file["kind"];
  result.command = file["command"];
  result.started = file["started"];
  result.code = file["code"];
  result.hardware = file["hardware"];
  result.model = file["model"];
  result.seeds = file["seeds"].get<std::vector<uint64_t>>();
  result.configuration = file["configuration"];
  result.rows = file["rows"];
  result.figures = file["figures"];
  return result;
}

Result<ResultFile> read_result(const std::string& path) {
  const auto text = read_file(path, kMaxResultBytes);
  if (!text) return tl::make_unexpected(text.error());
  return parse_result(*text, path);
}

}  // namespace ft::eval
