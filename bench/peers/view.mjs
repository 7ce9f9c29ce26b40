// What every peer sends: the mark of a fellow judge as Scorecast shows it, about 280 bytes of JSON.
export const view = ({ categoryId, contestantId, criterionId }, version) => ({
  id: '01995f2e-7c1a-7d33-9b5e-3f6f0a5c7e11',
  categoryId,
  contestId: 'gala',
  eventId: 'cup',
  contestantId,
  judgeId: '01995f2e-7c1a-7d33-9b5e-0123456789ab',
  criterionId,
  score: null,
  masked: true,
  status: 'submitted',
  version,
  updatedAt: new Date(),
})
