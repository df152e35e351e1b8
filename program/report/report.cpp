#include "report/report.hpp"

#include "report/picture_views.hpp"
#include "report/scores.hpp"
#include "report/templates.hpp"
#include "report/training_curves.hpp"

namespace osc::program {

std::string render_report(const ReportContents& contents) {
  return render_template("page.html", {{"title", contents.title},
                                       {"result", result_view(contents.result)},
                                       {"wall", wall_view(contents.wall)},
                                       {"matching", matching_view(contents.pairs)},
                                       {"retrieval", retrieval_view(contents.retrievals)},
                                       {"tables", tables_view(contents.result)},
                                       {"training", training_view(contents.metrics)},
                                       {"configuration", contents.config_toml}});
}

}  // namespace osc::program
