//! The oxmox binary: arguments, settings, commands
