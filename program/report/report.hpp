// report.html: one self-contained file, no script, no address outside itself.
#pragma once

#include <string>

#include "report/contents.hpp"

namespace osc::program {

std::string render_report(const ReportContents& contents);

}  // namespace osc::program
