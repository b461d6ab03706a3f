// `foretoken-eval report`, and the reports that experiments write beside their results.
#pragma once

#include <cstdio>
#include <string>
#include <vector>

#include "eval/report/document.h"
#include "eval/results/result_file.h"

namespace ft::eval {

// One document of all results, in their order. kInvalidFile naming the result that lacks a figure.
Result<Document> report_document(const std::vector<ResultFile>& results,
                                 const std::vector<std::string>& names);

// FOLDER/NAME.html, .md and .csv, making the folder; the Markdown also on `out`, null: not.
Result<void> write_document(const Document& document, const std::string& folder, const std::string& name,
                            std::FILE* out);

// FOLDER/NAME.json and its report.
Result<void> write_result(const ResultFile& result, const std::string& folder, const std::string& name,
                          std::FILE* out);

struct ReportOptions {
  std::vector<std::string> results;  // files
  std::string out;                   // folder
  std::string name = "report";
  std::vector<std::string> compare;  // parts of the names of two cells, or none; see add_comparison
};

// The whole command.
Result<void> run_report(const ReportOptions& options, std::FILE* out);

}  // namespace ft::eval
