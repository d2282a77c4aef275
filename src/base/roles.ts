/** What a machine is for, in the words of SMD. */
export const ROLES = ['Compute', 'Service', 'System', 'Application', 'Storage', 'Management'] as const
