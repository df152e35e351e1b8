// The style sheet of report.html.
#pragma once

#include <string_view>

namespace osc::program {

std::string_view report_stylesheet();

}  // namespace osc::program
