#include "eval/report/write.h"

#include <filesystem>

#include "eval/report/comparison.h"
#include "eval/report/html.h"
#include "eval/report/sections.h"
#include "eval/report/text_forms.h"
#include "eval/report_file.h"

namespace ft::eval {

namespace {

namespace fs = std::filesystem;

// The words of a command line, quoted where a shell would split them.
std::string command_text(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) {
    const bool plain = !word.empty() && word.find_first_of(" \t\"'$&|;<>*?()") == std::string::npos;
    text += (text.empty() ? "" : " ") + (plain ? word : "'" + word + "'");
  }
  return text;
}

// Where the numbers come from.
void add_origin(const ResultFile& result, Document& document) {
  document.blocks.push_back(Details{"Command", command_text(result.command)});
  const Json origin = {{"started", result.started},   {"code", result.code},
                       {"hardware", result.hardware}, {"model", result.model},
                       {"seeds", result.seeds},       {"configuration", result.configuration}};
  document.blocks.push_back(Details{"Configuration", origin.dump(2)});
}

void add_section(const ResultFile& result, Document& document) {
  if (result.kind == "accept") add_accept_section(result, document);
  if (result.kind == "load") add_load_section(result, document);
  if (result.kind == "quality") add_quality_section(result, document);
  if (result.kind == "simulate") add_simulate_section(result, document);
  if (result.kind == "speedup") add_speedup_section(result, document);
}

}  // namespace

PlotPoint point_at(double x, const Json& interval) {
  return {x, interval.at("value"), interval.at("low"), interval.at("high")};
}

TableCell interval_cell(const Json& interval) {
  const double value = interval.at("value");
  return {fmt::format("{:.3f} ({:.3f} to {:.3f})", value, interval.at("low").get<double>(),
                      interval.at("high").get<double>()),
          value};
}

Result<Document> report_document(const std::vector<ResultFile>& results,
                                 const std::vector<std::string>& names) {
  Document document;
  document.title = results.size() == 1 ? "Foretoken: " + names[0] : "Foretoken: report";
  for (size_t i = 0; i < results.size(); ++i) {
    if (results.size() > 1) document.blocks.push_back(Heading{names[i]});
    const auto added = read_json(names[i], [&] { add_section(results[i], document); });
    if (!added) return tl::make_unexpected(added.error());
    add_origin(results[i], document);
  }
  return document;
}

Result<void> write_document(const Document& document, const std::string& folder, const std::string& name,
                            std::FILE* out) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) return fail(ErrorCode::kNotFound, "{}: {}", folder, error.message());
  const std::string text = markdown(document);
  const std::pair<const char*, std::string> forms[] = {
      {".html", html(document)}, {".md", text}, {".csv", csv(document)}};
  for (const auto& [extension, bytes] : forms)
    if (auto written = write_report((fs::path(folder) / (name + extension)).string(), bytes); !written)
      return written;
  if (out != nullptr)
    fmt::print(out, "{}\nreport: {}\n", text, (fs::path(folder) / (name + ".html")).string());
  return {};
}

Result<void> write_result(const ResultFile& result, const std::string& folder, const std::string& name,
                          std::FILE* out) {
  const auto document = report_document({result}, {name});
  if (!document) return tl::make_unexpected(document.error());
  if (auto written = write_document(*document, folder, name, out); !written) return written;
  return write_report((fs::path(folder) / (name + ".json")).string(), result.json());
}

Result<void> run_report(const ReportOptions& options, std::FILE* out) {
  std::vector<ResultFile> results;
  std::vector<std::string> names;
  for (const std::string& path : options.results) {
    auto result = read_result(path);
    if (!result) return tl::make_unexpected(result.error());
    results.push_back(std::move(*result));
    // Every experiment names its file alike; its folder tells it apart.
    const fs::path file = fs::absolute(path);
    names.push_back(file.parent_path().filename().string() + "/" + file.stem().string());
  }
  auto document = report_document(results, names);
  if (!document) return tl::make_unexpected(document.error());
  if (options.compare.size() == 2)
    if (auto added = add_comparison(results, options.compare[0], options.compare[1], *document); !added)
      return added;
  return write_document(*document, options.out, options.name, out);
}

}  // namespace ft::eval
