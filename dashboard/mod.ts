/** The dashboard's door: what the executable joins with a coordinator. */
export { createDashboardRole, dashboardBeside, loginCommand } from "./dashboard_role.ts";
